//! Image size in the header of a PNG file.

/// [width, height] of a PNG file; `None` if the bytes are not a PNG file.
///
/// PNG specification, sections 5.2 and 11.2.1: eight bytes, then the chunk IHDR.
pub(crate) fn size(bytes: &[u8]) -> Option<[u32; 2]> {
    let header = bytes.strip_prefix(b"\x89PNG\r\n\x1a\n")?.get(4..16)?;
    let sides = header.strip_prefix(b"IHDR")?;
    let side = |at: usize| Some(u32::from_be_bytes(*sides.get(at..)?.first_chunk()?));
    let size = [side(0)?, side(4)?];
    (size[0] > 0 && size[1] > 0).then_some(size)
}
