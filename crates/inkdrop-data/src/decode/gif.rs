//! Decoder of the first frame of a GIF file.

use std::num::NonZeroU64;

use gif::{ColorOutput, DecodeOptions, Decoder, DecodingError, MemoryLimit};

use super::{Limits, PictureOptions, Raster, Transparent, Values, animation};

/// Width and height, and the orientation, which is always upright.
pub(super) fn sides(bytes: &[u8], limits: Limits) -> Result<((usize, usize), u8), String> {
    open(bytes, limits).map(|(_, sides)| (sides, 1))
}

/// The first frame on a transparent canvas; what lies beyond the canvas is cut off, as browsers do.
pub(super) fn decode(bytes: &[u8], options: &PictureOptions) -> Result<Raster, String> {
    let (mut decoder, (width, height)) = open(bytes, options.limits())?;
    let frame = decoder.next_frame_info().map_err(broken)?.ok_or(EMPTY)?;
    let (left, top) = (usize::from(frame.left), usize::from(frame.top));
    let (columns, rows) = (usize::from(frame.width), usize::from(frame.height));
    let index = usize::from(frame.transparent.unwrap_or(0));
    options.limits().check(columns, rows)?;
    let mut frame = vec![0; decoder.buffer_size()];
    decoder.read_into_buffer(&mut frame).map_err(broken)?;
    let empty = match options.transparent {
        Transparent::On(_) => [0; 4],
        Transparent::Drop => colour(&decoder, index),
    };
    let mut canvas = empty.repeat(width * height);
    let shown = columns.min(width.saturating_sub(left));
    let visible = if shown > 0 { height.saturating_sub(top) } else { 0 };
    for (y, row) in frame.chunks_exact(columns * 4).enumerate().take(visible) {
        let start = ((top + y) * width + left) * 4;
        canvas[start..start + shown * 4].copy_from_slice(&row[..shown * 4]);
    }
    let mut remarks = Vec::new();
    if decoder.next_frame_info().is_ok_and(|frame| frame.is_some()) {
        remarks.push(animation(options)?);
    }
    let values = Values::Eight(canvas);
    Ok(Raster { width, height, channels: 4, values, orientation: 1, remarks })
}

const EMPTY: &str = "a GIF file without a picture, expected at least one; fetch it again";

/// Width and height.
type Sides = (usize, usize);

/// The decoder, and the size of the canvas; a canvas without pixels takes the size of the first frame.
fn open(bytes: &[u8], limits: Limits) -> Result<(Decoder<&[u8]>, Sides), String> {
    let mut options = DecodeOptions::new();
    options.set_color_output(ColorOutput::RGBA);
    let memory = NonZeroU64::new(limits.bytes());
    options.set_memory_limit(memory.map_or(MemoryLimit::Unlimited, MemoryLimit::Bytes));
    let decoder = options.clone().read_info(bytes).map_err(broken)?;
    let (mut width, mut height) = (usize::from(decoder.width()), usize::from(decoder.height()));
    if width == 0 || height == 0 {
        let mut ahead = options.read_info(bytes).map_err(broken)?;
        let frame = ahead.next_frame_info().map_err(broken)?.ok_or(EMPTY)?;
        width = usize::from(frame.left) + usize::from(frame.width);
        height = usize::from(frame.top) + usize::from(frame.height);
    }
    limits.check(width, height)?;
    Ok((decoder, (width, height)))
}

/// A colour of the palette, opaque.
fn colour(decoder: &Decoder<&[u8]>, index: usize) -> [u8; 4] {
    let palette = decoder.palette().unwrap_or_default();
    match palette.get(3 * index..3 * index + 3) {
        Some(&[r, g, b]) => [r, g, b, 255],
        _ => [0, 0, 0, 255],
    }
}

fn broken(error: DecodingError) -> String {
    format!("a broken GIF file: {error}; fetch it again")
}
