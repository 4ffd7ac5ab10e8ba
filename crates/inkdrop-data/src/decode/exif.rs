//! EXIF orientation: how a camera was held (EXIF 2.32, tag 0x0112).

use crate::picture::Picture;

const ORIENTATION: u16 = 0x0112;

/// The orientation in an EXIF block, 1 to 8; 1, upright, if it has none.
///
/// - block: a TIFF structure, perhaps after `Exif\0\0`
pub(super) fn orientation(block: &[u8]) -> u8 {
    let block = block.strip_prefix(b"Exif\0\0").unwrap_or(block);
    find(block).filter(|value| (1..=8).contains(value)).map_or(1, |value| value as u8)
}

/// The value of the tag in the first directory.
fn find(block: &[u8]) -> Option<u16> {
    let big = match block.get(..4)? {
        b"II*\0" => false,
        b"MM\0*" => true,
        _ => return None,
    };
    let short = |at: usize| {
        let bytes = *block.get(at..)?.first_chunk()?;
        Some(if big { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) })
    };
    let offset = *block.get(4..)?.first_chunk()?;
    let start = if big { u32::from_be_bytes(offset) } else { u32::from_le_bytes(offset) } as usize;
    let count = usize::from(short(start)?);
    // Entries of 12 bytes: tag, type, count, value.
    let mut entries = (0..count).map(|i| start.saturating_add(2 + 12 * i));
    let entry = entries.find(|&entry| short(entry) == Some(ORIENTATION))?;
    short(entry.checked_add(8)?)
}

/// True if an orientation swaps width and height.
pub(super) fn swaps_sides(orientation: u8) -> bool {
    orientation >= 5
}

/// A picture turned upright.
pub(super) fn turned(picture: Picture, orientation: u8) -> Picture {
    if !(2..=8).contains(&orientation) {
        return picture;
    }
    let (w, h) = (picture.width(), picture.height());
    let (width, height) = if swaps_sides(orientation) { (h, w) } else { (w, h) };
    let mut pixels = Vec::with_capacity(picture.pixels().len());
    for y in 0..height {
        for x in 0..width {
            let (column, row) = match orientation {
                2 => (w - 1 - x, y),
                3 => (w - 1 - x, h - 1 - y),
                4 => (x, h - 1 - y),
                5 => (y, x),
                6 => (y, h - 1 - x),
                7 => (w - 1 - y, h - 1 - x),
                _ => (w - 1 - y, x),
            };
            let at = (row * w + column) * 3;
            pixels.extend_from_slice(&picture.pixels()[at..at + 3]);
        }
    }
    Picture::of_bytes(width, height, pixels)
}
