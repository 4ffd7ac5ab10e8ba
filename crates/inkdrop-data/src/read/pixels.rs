//! What decoders of all kinds ask about pixels.

use super::MOST_PIXELS;

/// Checks that a picture has some pixels, and not too many.
pub(super) fn check(width: usize, height: usize) -> Result<(), String> {
    match (width as u64).checked_mul(height as u64) {
        Some(0) => Err(format!(
            "a picture of {width} x {height} pixels, expected at least one; fetch it again"
        )),
        Some(1..=MOST_PIXELS) => Ok(()),
        _ => Err(format!(
            "a picture of {width} x {height} pixels, expected at most {MOST_PIXELS} of them; make it smaller"
        )),
    }
}

/// A value over white: α·v + (1 − α)·255, rounded.
pub(super) fn on_white(value: u8, alpha: u8) -> u8 {
    let (value, alpha) = (u32::from(value), u32::from(alpha));
    ((value * alpha + 255 * (255 - alpha) + 127) / 255) as u8
}
