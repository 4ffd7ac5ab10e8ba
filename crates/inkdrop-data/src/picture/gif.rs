//! Animated GIF files.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::HashMap;
use std::io::{self, Write};
use std::path::Path;

use gif::{Encoder, Frame, Repeat};

use super::Picture;
use crate::DataError;
use crate::output::write_atomic;

/// Writes pictures as an animated GIF that loops.
///
/// Frames of at most 256 colours are exact. Others are quantised by NeuQuant, with the most
/// frequent colours exact.
///
/// # Ranges
/// - `frames`: at least one, all of one size, sides up to 65,535.
/// - `delay_cs`, `hold_last_cs`: duration of a frame, and of the last; hundredths of a second.
///
/// # Errors
/// - [`DataError::Picture`] if there are no frames, or they differ in size or are too large
/// - [`DataError::Write`] if the file cannot be written
pub fn write_gif(
    path: impl AsRef<Path>,
    frames: &[Picture],
    delay_cs: u16,
    hold_last_cs: u16,
) -> Result<(), DataError> {
    let size = common_size(frames)?;
    write_atomic(path.as_ref(), |file| write_frames(file, frames, size, (delay_cs, hold_last_cs)))
}

/// Encodes pictures as an animated GIF in memory, as [`write_gif`] does.
///
/// # Errors
/// [`DataError::Picture`] as for [`write_gif`].
pub fn encode_gif(
    frames: &[Picture],
    delay_cs: u16,
    hold_last_cs: u16,
) -> Result<Vec<u8>, DataError> {
    let size = common_size(frames)?;
    let mut bytes = Vec::new();
    write_frames(&mut bytes, frames, size, (delay_cs, hold_last_cs))
        .map_err(|error| DataError::Picture(format!("cannot encode as GIF: {error}")))?;
    Ok(bytes)
}

fn write_frames(
    file: impl Write,
    frames: &[Picture],
    (width, height): (u16, u16),
    (delay_cs, hold_last_cs): (u16, u16),
) -> io::Result<()> {
    let mut encoder = Encoder::new(file, width, height, &[]).map_err(io::Error::other)?;
    encoder.set_repeat(Repeat::Infinite).map_err(io::Error::other)?;
    for (i, picture) in frames.iter().enumerate() {
        let delay = if i + 1 == frames.len() { hold_last_cs } else { delay_cs };
        write_frame(&mut encoder, picture, (width, height), delay)?;
    }
    Ok(())
}

fn write_frame<W: Write>(
    encoder: &mut Encoder<W>,
    picture: &Picture,
    (width, height): (u16, u16),
    delay: u16,
) -> io::Result<()> {
    let exact = exact_frame(picture, width, height);
    let mut frame = exact.unwrap_or_else(|| quantised_frame(picture, width, height));
    frame.delay = delay;
    encoder.write_frame(&frame).map_err(io::Error::other)
}

/// The frame in its own colours; `None` if there are more than 256.
fn exact_frame(picture: &Picture, width: u16, height: u16) -> Option<Frame<'static>> {
    let mut places: HashMap<&[u8], u8> = HashMap::new();
    let mut palette = Vec::new();
    let mut buffer = Vec::with_capacity(picture.pixels().len() / 3);
    for colour in picture.pixels().chunks_exact(3) {
        let next = places.len();
        let place = match places.get(colour) {
            Some(&place) => place,
            None => {
                let place = u8::try_from(next).ok()?;
                places.insert(colour, place);
                palette.extend_from_slice(colour);
                place
            }
        };
        buffer.push(place);
    }
    let frame = Frame {
        width,
        height,
        palette: Some(palette),
        buffer: Cow::Owned(buffer),
        ..Frame::default()
    };
    Some(frame)
}

/// The frame in 256 colours by NeuQuant, with the most frequent colours exact.
fn quantised_frame(picture: &Picture, width: u16, height: u16) -> Frame<'static> {
    let mut frame = Frame::from_rgb_speed(width, height, picture.pixels(), 4);
    let mut counts: HashMap<&[u8], (usize, u8)> = HashMap::new();
    for (colour, &place) in picture.pixels().chunks_exact(3).zip(frame.buffer.iter()) {
        counts.entry(colour).or_insert((0, place)).0 += 1;
    }
    let mut commonest: Vec<_> = counts.into_iter().collect();
    commonest.sort_unstable_by_key(|&(colour, (count, _))| (Reverse(count), colour));
    let mut taken = [false; 256];
    let palette = frame.palette.as_deref_mut().unwrap_or_default();
    for (colour, (_, place)) in commonest {
        let entry = palette.chunks_exact_mut(3).nth(usize::from(place));
        if let (Some(entry), false) = (entry, taken[usize::from(place)]) {
            entry.copy_from_slice(colour);
            taken[usize::from(place)] = true;
        }
    }
    frame
}

fn common_size(frames: &[Picture]) -> Result<(u16, u16), DataError> {
    let (width, height) = super::common_size(frames)?;
    match (u16::try_from(width), u16::try_from(height)) {
        (Ok(width), Ok(height)) => Ok((width, height)),
        _ => Err(DataError::Picture(format!(
            "frames of {width} x {height} pixels, expected sides up to 65535 in a GIF; use a smaller scale"
        ))),
    }
}
