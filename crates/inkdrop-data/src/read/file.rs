//! How a picture file of any kind becomes a colour picture.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use super::kind::Kind;
use super::{gif, jpeg, png};
use crate::DataError;
use crate::picture::Picture;

/// Reads a PNG, JPEG or GIF file: gray, RGB, CMYK or of a palette.
///
/// What is transparent lies on white; of 16 bits the upper 8 are taken; of an animated GIF the
/// first frame. Colour profiles and a camera's note of how it was held are not looked at. The kind
/// shows in the first bytes, whatever the name says. Sides and pixels are checked before memory is
/// taken for them.
///
/// # Errors
/// [`DataError::Read`] where the file cannot be read; [`DataError::File`] where it is of another
/// kind, is broken, has more than [`MOST_PIXELS`](super::MOST_PIXELS) pixels, or is an animated PNG.
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

/// Says which file a problem is of; a panic of a decoder is a problem like another.
fn guarded<T>(path: &Path, work: impl FnOnce() -> Result<T, String>) -> Result<T, DataError> {
    let unforeseen =
        "its decoder failed in an unforeseen way; convert the picture anew, and report it";
    let result = catch_unwind(AssertUnwindSafe(work));
    let result = result.unwrap_or_else(|_| Err(unforeseen.to_owned()));
    result.map_err(|problem| DataError::file(path, problem))
}
