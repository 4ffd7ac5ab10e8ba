//! Decoder of JPEG files.

use std::io::{self, BufRead, ErrorKind, Read, Seek};

use zune_jpeg::JpegDecoder;
use zune_jpeg::errors::DecodeErrors;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::check;
use crate::picture::Picture;

const START_OF_SCAN: u8 = 0xda;
const END: u8 = 0xd9;

/// Width and height.
pub(super) fn sides(file: impl BufRead + Seek) -> Result<(usize, usize), String> {
    header(&mut decoder(file))
}

pub(super) fn decode(mut file: impl BufRead + Seek) -> Result<Picture, String> {
    if !is_whole(&mut file).map_err(|error| format!("it cannot be read: {error}"))? {
        return Err("a broken JPEG file: it ends within the picture; fetch it again".to_owned());
    }
    file.rewind().map_err(|error| format!("it cannot be read: {error}"))?;
    let mut decoder = decoder(file);
    let (width, height) = header(&mut decoder)?;
    let pixels = decoder.decode().map_err(broken)?;
    Picture::new(width, height, pixels).map_err(|error| error.to_string())
}

fn decoder<R: BufRead + Seek>(file: R) -> JpegDecoder<R> {
    let most = usize::from(u16::MAX);
    let options = DecoderOptions::default().set_max_width(most).set_max_height(most);
    let options = options.jpeg_set_out_colorspace(ColorSpace::RGB);
    JpegDecoder::new_with_options(file, options)
}

fn header(decoder: &mut JpegDecoder<impl BufRead + Seek>) -> Result<(usize, usize), String> {
    decoder.decode_headers().map_err(broken)?;
    let (width, height) = decoder.dimensions().unwrap_or_default();
    check(width, height)?;
    Ok((width, height))
}

fn broken(error: DecodeErrors) -> String {
    format!("a broken JPEG file: {error}; fetch it again")
}

/// True if the end marker comes after the first scan. Decoders accept truncated files and fill the
/// rest with gray.
///
/// ITU-T T.81, annex B: segments tell their length; within a scan, a byte of 255 that is none of a
/// mark is followed by 0, so all that follows the first scan can be read through as one.
fn is_whole(file: &mut impl BufRead) -> io::Result<bool> {
    match skip_header(file) {
        Ok(true) => has_end(file),
        Ok(false) => Ok(false),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

/// Skips what comes before the first scan; whether there is one.
fn skip_header(file: &mut impl BufRead) -> io::Result<bool> {
    file.read_exact(&mut [0; 2])?; // the start mark
    loop {
        match mark(file)? {
            START_OF_SCAN => return Ok(true),
            END => return Ok(false),
            _ => {
                let mut length = [0; 2];
                file.read_exact(&mut length)?;
                let length = u64::from(u16::from_be_bytes(length)).saturating_sub(2);
                io::copy(&mut file.take(length), &mut io::sink())?;
            }
        }
    }
}

/// The next mark; what stands before it is skipped.
fn mark(file: &mut impl BufRead) -> io::Result<u8> {
    let mut pair = [0; 2];
    while pair[0] != 0xff || matches!(pair[1], 0 | 0xff) {
        pair[0] = pair[1];
        file.read_exact(&mut pair[1..])?;
    }
    Ok(pair[1])
}

fn has_end(file: &mut impl BufRead) -> io::Result<bool> {
    let mut before = 0;
    loop {
        let bytes = file.fill_buf()?;
        let Some(&last) = bytes.last() else { return Ok(false) };
        if (before, bytes[0]) == (0xff, END) || bytes.windows(2).any(|pair| pair == [0xff, END]) {
            return Ok(true);
        }
        before = last;
        let length = bytes.len();
        file.consume(length);
    }
}
