//! EXIF orientation: how a camera was held (EXIF 2.32, tag 0x0112).

use crate::picture::Picture;

const ORIENTATION: u16 = 0x0112;

/// The orientation in an EXIF block, 1 to 8; 1, upright, if it has none.
///
/// - block: a TIFF structure, perhaps after `Exif\0\0`
pub(super) fn orientation(block: &[u8]) -> u8 {
    let directory = Directory::first(block.strip_prefix(b"Exif\0\0").unwrap_or(block));
    let value = directory.and_then(|directory| directory.short(directory.value(ORIENTATION)?));
    value.filter(|value| (1..=8).contains(value)).map_or(1, |value| value as u8)
}

/// The first directory of a TIFF structure (TIFF 6.0, section 2).
pub(super) struct Directory<'a> {
    block: &'a [u8],
    /// True for big-endian numbers.
    pub big: bool,
    /// Offset of its first entry, and number of entries.
    start: usize,
    count: usize,
}

impl<'a> Directory<'a> {
    pub(super) fn first(block: &'a [u8]) -> Option<Self> {
        let big = match block.get(..4)? {
            b"II*\0" => false,
            b"MM\0*" => true,
            _ => return None,
        };
        let mut directory = Self { block, big, start: 0, count: 0 };
        let offset = directory.long(4)?;
        directory.count = usize::from(directory.short(offset)?);
        directory.start = offset.checked_add(2)?;
        Some(directory)
    }

    /// Offset of the value of a tag; entries have 12 bytes: tag, type, count, value.
    pub(super) fn value(&self, tag: u16) -> Option<usize> {
        let mut entries = (0..self.count).map(|i| self.start.saturating_add(12 * i));
        entries.find(|&entry| self.short(entry) == Some(tag))?.checked_add(8)
    }

    pub(super) fn short(&self, at: usize) -> Option<u16> {
        let bytes = *self.block.get(at..)?.first_chunk()?;
        Some(if self.big { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) })
    }

    pub(super) fn long(&self, at: usize) -> Option<usize> {
        let bytes = *self.block.get(at..)?.first_chunk()?;
        Some(if self.big { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) } as usize)
    }
}

/// True if an orientation swaps width and height.
pub(super) fn swaps_sides(orientation: u8) -> bool {
    orientation >= 5
}

/// A picture turned upright.
pub(super) fn turned(picture: Picture, orientation: u8) -> Picture {
    let (width, height) = (picture.width(), picture.height());
    if !(2..=8).contains(&orientation) {
        return picture;
    }
    let pixels = turned_values(picture.pixels(), (width, height), 3, orientation);
    let (width, height) = if swaps_sides(orientation) { (height, width) } else { (width, height) };
    Picture::of_bytes(width, height, pixels)
}

/// The values of an image turned upright.
///
/// - values: `[h, w, channels]`
pub(super) fn turned_values<T: Copy>(
    values: &[T],
    (w, h): (usize, usize),
    channels: usize,
    orientation: u8,
) -> Vec<T> {
    let (width, height) = if swaps_sides(orientation) { (h, w) } else { (w, h) };
    let mut pixels = Vec::with_capacity(values.len());
    for y in 0..height {
        for x in 0..width {
            let (column, row) = match orientation {
                2 => (w - 1 - x, y),
                3 => (w - 1 - x, h - 1 - y),
                4 => (x, h - 1 - y),
                5 => (y, x),
                6 => (y, h - 1 - x),
                7 => (w - 1 - y, h - 1 - x),
                8 => (w - 1 - y, x),
                _ => (x, y),
            };
            let at = (row * w + column) * channels;
            pixels.extend_from_slice(&values[at..at + channels]);
        }
    }
    pixels
}
