//! How letters are drawn: 8 × 8 glyphs, enlarged by whole numbers.

use font8x8::legacy::BASIC_LEGACY;

use super::{Picture, Rgb};

/// Rows and columns of a glyph at scale 1.
pub(super) const GLYPH: usize = 8;

/// Columns that a text takes.
pub(super) fn width(text: &str, scale: usize) -> usize {
    text.chars().count() * GLYPH * scale
}

/// Draws a text whose upper left corner is `left`, `top`; what is not ASCII becomes `?`.
pub(super) fn draw(
    picture: &mut Picture,
    text: &str,
    left: usize,
    top: usize,
    scale: usize,
    ink: Rgb,
) {
    for (i, letter) in text.chars().enumerate() {
        let left = left + i * GLYPH * scale;
        for (y, row) in glyph(letter).into_iter().enumerate() {
            for x in (0..GLYPH).filter(|x| row >> x & 1 == 1) {
                picture.fill(left + x * scale, top + y * scale, scale, scale, ink);
            }
        }
    }
}

/// One byte per row, the lowest bit at the left.
fn glyph(letter: char) -> [u8; GLYPH] {
    let known = BASIC_LEGACY.get(letter as usize).filter(|_| !letter.is_control());
    *known.unwrap_or(&BASIC_LEGACY[b'?' as usize])
}
