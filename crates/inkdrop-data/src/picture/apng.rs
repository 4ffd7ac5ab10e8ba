//! Animated PNG files.

use std::io;
use std::path::Path;

use super::{Picture, common_size};
use crate::DataError;
use crate::output::{WriteSeek, write_atomic};

/// Hundredths of a second, the unit of the delays.
const HUNDREDTHS: u16 = 100;

/// Writes pictures as an animated PNG that loops; viewers without animation show the first frame.
///
/// All colours are exact, whereas [`write_gif`](super::write_gif) has 256 per frame.
///
/// # Ranges
/// - `frames`: at least one, all of one size.
/// - `delay_cs`, `hold_last_cs`: duration of a frame, and of the last; hundredths of a second.
///
/// # Errors
/// - [`DataError::Picture`] if there are no frames, or they differ in size
/// - [`DataError::Write`] if the file cannot be written
pub fn write_apng(
    path: impl AsRef<Path>,
    frames: &[Picture],
    delay_cs: u16,
    hold_last_cs: u16,
) -> Result<(), DataError> {
    let (width, height) = common_size(frames)?;
    write_atomic(path.as_ref(), |file| {
        let number = |length: usize| u32::try_from(length).map_err(io::Error::other);
        let mut encoder = png::Encoder::new(file, number(width)?, number(height)?);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        encoder.set_animated(number(frames.len())?, 0)?;
        write_frames(encoder, frames, delay_cs, hold_last_cs)
    })
}

fn write_frames(
    mut encoder: png::Encoder<&mut dyn WriteSeek>,
    frames: &[Picture],
    delay_cs: u16,
    hold_last_cs: u16,
) -> io::Result<()> {
    let delay = |i| if i + 1 == frames.len() { hold_last_cs } else { delay_cs };
    encoder.set_frame_delay(delay(0), HUNDREDTHS)?;
    let mut writer = encoder.write_header()?;
    for (i, picture) in frames.iter().enumerate() {
        writer.set_frame_delay(delay(i), HUNDREDTHS)?;
        writer.write_image_data(picture.pixels())?;
    }
    Ok(writer.finish()?)
}
