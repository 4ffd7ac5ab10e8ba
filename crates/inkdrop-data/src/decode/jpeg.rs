//! Decoder of JPEG files (ITU-T T.81): baseline, extended and progressive, Huffman-coded, 8 bits.
//!
//! The pixels equal libjpeg-turbo's, and so Pillow's: its inverse transform, its chroma upsampling and
//! its colour conversion are the same integer arithmetic. Other decoders in Rust differ by up to 4,
//! or destroy files of several scans (docs/decisions/032-jpeg-decoder.md).

mod huffman;
mod idct;
mod markers;
mod pixels;
mod scan;

use markers::{NO_FRAME, Parser};

use super::{Limits, Raster, Values, exif};

const CUT: &str = "it ends within the picture";

/// Why a file cannot be decoded.
enum Problem {
    /// It is damaged.
    Damaged(String),
    /// It is of a kind that is not read, or too large; the whole message.
    Refused(String),
}

impl From<&str> for Problem {
    fn from(problem: &str) -> Self {
        Self::Damaged(problem.to_owned())
    }
}

impl From<String> for Problem {
    fn from(problem: String) -> Self {
        Self::Damaged(problem)
    }
}

/// Width and height, and the EXIF orientation.
pub(super) fn sides(bytes: &[u8], limits: Limits) -> Result<((usize, usize), u8), String> {
    let mut parser = Parser::new(bytes, limits);
    let parsed =
        read(&mut parser, End::Scan).and_then(|()| Ok(parser.frame.as_ref().ok_or(NO_FRAME)?));
    let sides = parsed.map(|frame| (frame.width, frame.height)).map_err(message)?;
    Ok((sides, orientation(&parser)))
}

/// Decodes a picture.
pub(super) fn decode(bytes: &[u8], limits: Limits) -> Result<Raster, String> {
    let mut parser = Parser::new(bytes, limits);
    render(&mut parser).map_err(message)
}

/// Where parsing stops.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// Before the first scan.
    Scan,
    /// At the end marker.
    Image,
}

/// Reads segments up to the given end, and decodes the scans.
fn read(parser: &mut Parser, end: End) -> Result<(), Problem> {
    loop {
        match parser.marker()? {
            0xd9 => return Ok(()),
            0x01 | 0xd0..=0xd8 => {}
            0xda if end == End::Scan => return Ok(()),
            0xda => scan::read(parser)?,
            marker => {
                let segment = parser.segment()?;
                parser.table_or_header(marker, segment)?;
            }
        }
    }
}

fn render(parser: &mut Parser) -> Result<Raster, Problem> {
    read(parser, End::Image)?;
    let (orientation, colours) = (orientation(parser), parser.colours());
    let frame = parser.frame.take().ok_or(NO_FRAME)?;
    frame.check_scans()?;
    let (width, height) = (frame.width, frame.height);
    let bytes = pixels::render(frame, colours)?;
    let values = Values::Eight(bytes);
    Ok(Raster { width, height, channels: 3, values, orientation, remarks: Vec::new() })
}

fn orientation(parser: &Parser) -> u8 {
    parser.exif.map_or(1, exif::orientation)
}

fn message(problem: Problem) -> String {
    match problem {
        Problem::Damaged(problem) => format!("a broken JPEG file: {problem}; fetch it again"),
        Problem::Refused(message) => message,
    }
}
