//! Decoder of PNG files.

use std::io::{BufRead, Seek};

use png::{ColorType, Decoder, DecodingError, Limits, Transformations};

use super::{MOST_PIXELS, check, on_white};
use crate::picture::Picture;

/// Width and height.
pub(super) fn sides(file: impl BufRead + Seek) -> Result<(usize, usize), String> {
    header(&mut decoder(file))
}

pub(super) fn decode(file: impl BufRead + Seek) -> Result<Picture, String> {
    let mut decoder = decoder(file);
    let (width, height) = header(&mut decoder)?;
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
    Picture::new(width, height, pixels).map_err(|error| error.to_string())
}

fn decoder<R: BufRead + Seek>(file: R) -> Decoder<R> {
    let most_bytes = MOST_PIXELS as usize * 8;
    let mut decoder = Decoder::new_with_limits(file, Limits { bytes: most_bytes });
    decoder.set_transformations(Transformations::normalize_to_color8());
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    decoder
}

fn header(decoder: &mut Decoder<impl BufRead + Seek>) -> Result<(usize, usize), String> {
    let info = decoder.read_header_info().map_err(broken)?;
    let (width, height) = (info.width as usize, info.height as usize);
    check(width, height)?;
    Ok((width, height))
}

fn broken(error: DecodingError) -> String {
    format!("a broken PNG file: {error}; fetch it again")
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
