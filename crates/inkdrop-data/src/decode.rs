//! Decoding of PNG, JPEG and GIF files into RGB pictures.

mod gif;
mod jpeg;
mod png;

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use crate::DataError;
use crate::picture::Picture;

/// Largest number of pixels of a picture: 8192 x 8192.
pub const MOST_PIXELS: u64 = 8192 * 8192;

/// Reads a PNG, JPEG or GIF file: gray, RGB, CMYK or of a palette.
///
/// Transparent pixels are composited on white. 16-bit channels are cut to 8 bits. An animated GIF
/// gives its first frame. Colour profiles and EXIF orientation are ignored. The format is detected
/// from the first bytes, not from the name. The size is checked before memory is allocated.
///
/// # Errors
/// - [`DataError::Read`] if the file cannot be read
/// - [`DataError::File`] if it has another format, is damaged, has more than [`MOST_PIXELS`]
///   pixels, or is an animated PNG
pub fn read_picture(path: impl AsRef<Path>) -> Result<Picture, DataError> {
    let path = path.as_ref();
    let (kind, file) = open(path)?;
    decoded(path, kind, file)
}

/// Width and height of a picture file, from its header alone.
pub(crate) fn sides(path: &Path) -> Result<(usize, usize), DataError> {
    let (kind, file) = open(path)?;
    guarded(path, move || match kind {
        Kind::Png => png::sides(file),
        Kind::Jpeg => jpeg::sides(file),
        Kind::Gif => gif::sides(file),
    })
}

fn open(path: &Path) -> Result<(Kind, BufReader<File>), DataError> {
    let unread = |error| DataError::read(path, error);
    let mut file = BufReader::new(File::open(path).map_err(unread)?);
    let kind = Kind::of(file.fill_buf().map_err(unread)?).map_err(|other| {
        let problem = format!("{other}, expected a PNG, JPEG or GIF file; convert it to PNG");
        DataError::file(path, problem)
    })?;
    Ok((kind, file))
}

fn decoded(path: &Path, kind: Kind, file: BufReader<File>) -> Result<Picture, DataError> {
    guarded(path, move || match kind {
        Kind::Png => png::decode(file),
        Kind::Jpeg => jpeg::decode(file),
        Kind::Gif => gif::decode(file),
    })
}

/// Adds the path to an error; a panic of the decoder becomes an error.
fn guarded<T>(path: &Path, work: impl FnOnce() -> Result<T, String>) -> Result<T, DataError> {
    let unforeseen =
        "its decoder failed in an unforeseen way; convert the picture anew, and report it";
    let result = catch_unwind(AssertUnwindSafe(work));
    let result = result.unwrap_or_else(|_| Err(unforeseen.to_owned()));
    result.map_err(|problem| DataError::file(path, problem))
}

/// The formats that can be decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Png,
    Jpeg,
    Gif,
}

impl Kind {
    /// Detects the format from the first bytes.
    ///
    /// # Errors
    /// The name of the other format.
    fn of(start: &[u8]) -> Result<Self, &'static str> {
        const OTHERS: [(&[u8], &str); 4] = [
            (b"RIFF", "a WebP picture"),
            (b"BM", "a BMP picture"),
            (b"PK\x03\x04", "an archive"),
            (b"", "not a picture that is known here"),
        ];
        match start {
            [0x89, b'P', b'N', b'G', ..] => Ok(Self::Png),
            [0xff, 0xd8, 0xff, ..] => Ok(Self::Jpeg),
            [b'G', b'I', b'F', b'8', ..] => Ok(Self::Gif),
            _ => {
                let known = OTHERS.iter().find(|(magic, _)| start.starts_with(magic));
                Err(known.map_or("unknown", |(_, name)| name))
            }
        }
    }
}

/// Checks the number of pixels.
fn check(width: usize, height: usize) -> Result<(), String> {
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
fn on_white(value: u8, alpha: u8) -> u8 {
    let (value, alpha) = (u32::from(value), u32::from(alpha));
    ((value * alpha + 255 * (255 - alpha) + 127) / 255) as u8
}
