//! How pictures become an animation in all their colours.

use std::io;
use std::path::Path;

use super::{Picture, common_size};
use crate::DataError;
use crate::output::{Filling, write_atomic};

/// Hundredths of a second, the unit of the delays.
const HUNDREDTHS: u16 = 100;

/// Writes pictures as an animated PNG file that plays for ever; what knows no animations shows
/// the first frame.
///
/// Every colour stays as it is, where [`write_gif`](super::write_gif) has 256 for a frame.
///
/// # Ranges
/// - `frames`: at least one, all of one size.
/// - `delay_cs`, `hold_last_cs`: how long a frame, and the last one, stays; hundredths of a second.
///
/// # Errors
/// [`DataError::Picture`] where the frames are none or of several sizes; [`DataError::Write`]
/// where the file can't be written.
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
    mut encoder: png::Encoder<&mut dyn Filling>,
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
