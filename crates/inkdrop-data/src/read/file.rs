//! How a PNG file of any kind becomes a colour picture.

use std::fs::File;
use std::io::{BufRead, BufReader, Seek};
use std::path::Path;

use png::{ColorType, Decoder, DecodingError, Limits, Transformations};

use super::MOST_PIXELS;
use crate::DataError;
use crate::picture::Picture;

/// Reads a PNG file: gray, RGB or of a palette; what is transparent lies on white, 16 bits become
/// 8.
///
/// Sides and pixels are checked before memory is taken for them.
///
/// # Errors
/// [`DataError::Read`] where the file cannot be read; [`DataError::File`] where it is no PNG, is
/// broken, has more than [`MOST_PIXELS`] pixels, or is an animation.
pub fn read_png(path: impl AsRef<Path>) -> Result<Picture, DataError> {
    let path = path.as_ref();
    let file = File::open(path).map_err(|error| DataError::read(path, error))?;
    let mut file = BufReader::new(file);
    let start = file.fill_buf().map_err(|error| DataError::read(path, error))?;
    if !start.starts_with(b"\x89PNG") {
        return Err(DataError::file(
            path,
            format!("{}, expected a PNG file; convert it to PNG", kind(start)),
        ));
    }
    decode(file).map_err(|problem| DataError::file(path, problem))
}

/// What a file is that is no PNG, from its first bytes.
fn kind(start: &[u8]) -> &'static str {
    const KINDS: [(&[u8], &str); 4] = [
        (b"\xff\xd8\xff", "a JPEG picture"),
        (b"GIF8", "a GIF picture"),
        (b"RIFF", "a WebP picture"),
        (b"PK\x03\x04", "an archive"),
    ];
    let known = KINDS.iter().find(|(magic, _)| start.starts_with(magic));
    known.map_or("not a picture that is known here", |(_, name)| name)
}

fn decode(file: impl BufRead + Seek) -> Result<Picture, String> {
    let broken = |error: DecodingError| format!("a broken PNG file: {error}");
    let most_bytes = MOST_PIXELS as usize * 8;
    let mut decoder = Decoder::new_with_limits(file, Limits { bytes: most_bytes });
    decoder.set_transformations(Transformations::normalize_to_color8());
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    let info = decoder.read_header_info().map_err(broken)?;
    let (width, height) = (info.width, info.height);
    if u64::from(width) * u64::from(height) > MOST_PIXELS {
        return Err(format!(
            "a picture of {width} x {height} pixels, expected at most {MOST_PIXELS} of them; make it smaller"
        ));
    }
    let mut reader = decoder.read_info().map_err(broken)?;
    if reader.info().is_animated() {
        return Err("an animation, expected a still picture; give one of its frames".to_owned());
    }
    let size = reader.output_buffer_size().ok_or("a picture that memory does not hold")?;
    let mut bytes = vec![0; size];
    let frame = reader.next_frame(&mut bytes).map_err(broken)?;
    reader.finish().map_err(broken)?;
    bytes.truncate(frame.buffer_size());
    let pixels = colours(&bytes, frame.color_type);
    Picture::new(width as usize, height as usize, pixels).map_err(|error| error.to_string())
}

/// Samples of 8 bits as red, green and blue.
fn colours(bytes: &[u8], kind: ColorType) -> Vec<u8> {
    match kind {
        ColorType::Grayscale => bytes.iter().flat_map(|&gray| [gray; 3]).collect(),
        ColorType::GrayscaleAlpha => {
            bytes.chunks_exact(2).flat_map(|p| [on_white(p[0], p[1]); 3]).collect()
        }
        ColorType::Rgba => {
            let visible = |p: &[u8]| [0, 1, 2].map(|c| on_white(p[c], p[3]));
            bytes.chunks_exact(4).flat_map(visible).collect()
        }
        ColorType::Rgb | ColorType::Indexed => bytes.to_vec(),
    }
}

/// A value over white: α·v + (1 − α)·255, rounded.
fn on_white(value: u8, alpha: u8) -> u8 {
    let (value, alpha) = (u32::from(value), u32::from(alpha));
    ((value * alpha + 255 * (255 - alpha) + 127) / 255) as u8
}
