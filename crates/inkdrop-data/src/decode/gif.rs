//! Decoder of the first frame of a GIF file.

use std::io::BufRead;
use std::num::NonZeroU64;

use gif::{ColorOutput, DecodeOptions, Decoder, DecodingError, MemoryLimit};

use super::{MOST_PIXELS, check, on_white};
use crate::picture::Picture;

/// Width and height.
pub(super) fn sides(file: impl BufRead) -> Result<(usize, usize), String> {
    open(file).map(|(_, sides)| sides)
}

/// The first frame on a white canvas.
pub(super) fn decode(file: impl BufRead) -> Result<Picture, String> {
    let (mut decoder, (width, height)) = open(file)?;
    let frame = decoder.read_next_frame().map_err(broken)?;
    let frame =
        frame.ok_or("a GIF file without a picture, expected at least one; fetch it again")?;
    let mut pixels = vec![255; width * height * 3];
    let (left, top) = (usize::from(frame.left), usize::from(frame.top));
    let columns = usize::from(frame.width).max(1);
    for (y, row) in frame.buffer.chunks_exact(columns * 4).enumerate() {
        let start = ((top + y) * width + left) * 3;
        let canvas = pixels.get_mut(start..start + columns * 3).unwrap_or_default();
        for (to, from) in canvas.chunks_exact_mut(3).zip(row.chunks_exact(4)) {
            to.copy_from_slice(&[0, 1, 2].map(|c| on_white(from[c], from[3])));
        }
    }
    Picture::new(width, height, pixels).map_err(|error| error.to_string())
}

fn open<R: BufRead>(file: R) -> Result<(Decoder<R>, (usize, usize)), String> {
    let mut options = DecodeOptions::new();
    options.set_color_output(ColorOutput::RGBA);
    options.check_frame_consistency(true);
    options.set_memory_limit(
        NonZeroU64::new(MOST_PIXELS * 4).map_or(MemoryLimit::Unlimited, MemoryLimit::Bytes),
    );
    let decoder = options.read_info(file).map_err(broken)?;
    let (width, height) = (usize::from(decoder.width()), usize::from(decoder.height()));
    check(width, height)?;
    Ok((decoder, (width, height)))
}

fn broken(error: DecodingError) -> String {
    format!("a broken GIF file: {error}; fetch it again")
}
