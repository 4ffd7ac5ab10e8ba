//! How the picture files of a user become images of the size and the channels that are needed.

mod file;
mod fit;

use std::fs;
use std::path::{Path, PathBuf};

pub use file::read_png;
pub use fit::{fit, place};

use ndarray::Array4;

use crate::picture::Picture;
use crate::{DataError, Images};

/// The most pixels of a picture that is read: 8192 x 8192.
pub const MOST_PIXELS: u64 = 8192 * 8192;

/// The files behind names: a file is itself, a folder all its PNG files in the order of their
/// names; hidden ones are left out.
///
/// # Errors
/// [`DataError::Read`] where a name is of nothing that can be read, [`DataError::File`] where a
/// folder holds no PNG file.
pub fn files<P: AsRef<Path>>(names: &[P]) -> Result<Vec<PathBuf>, DataError> {
    let mut all = Vec::new();
    for name in names.iter().map(AsRef::as_ref) {
        let is_folder = fs::metadata(name).map_err(|error| DataError::read(name, error))?.is_dir();
        if is_folder { all.extend(of_folder(name)?) } else { all.push(name.to_path_buf()) }
    }
    Ok(all)
}

fn of_folder(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    let unread = |error| DataError::read(folder, error);
    let entries = fs::read_dir(folder).map_err(unread)?;
    let paths = entries.map(|entry| Ok(entry.map_err(unread)?.path()));
    let mut paths = paths.collect::<Result<Vec<_>, DataError>>()?;
    paths.retain(|path| is_picture(path));
    if paths.is_empty() {
        return Err(DataError::file(
            folder,
            "there is no PNG file in this folder; name one that has some",
        ));
    }
    paths.sort();
    Ok(paths)
}

/// Whether a name is of a PNG file that is not hidden.
pub(crate) fn is_picture(path: &Path) -> bool {
    let hidden = path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
    !hidden && path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("png"))
}

/// Pictures of one size as images.
///
/// - channels: 3, or 1 for gray, which is the luma 0.299 R + 0.587 G + 0.114 B (ITU-R BT.601)
///
/// # Shapes
/// - returns `[N, height, width, channels]`
///
/// # Errors
/// [`DataError::Images`] where there is no picture, their sizes differ, or there are other
/// channels.
pub fn images(pictures: &[Picture], channels: usize) -> Result<Images, DataError> {
    let Some(first) = pictures.first() else {
        return Err(DataError::Images("no picture, expected at least one".to_owned()));
    };
    let (width, height) = (first.width(), first.height());
    if let Some(i) = pictures.iter().position(|p| (p.width(), p.height()) != (width, height)) {
        return Err(DataError::Images(format!(
            "picture {i} is {} x {} pixels, the first one {width} x {height}; expected one size for all",
            pictures[i].width(),
            pictures[i].height()
        )));
    }
    let bytes: Vec<u8> = match channels {
        1 => pictures.iter().flat_map(luma).collect(),
        _ => pictures.iter().flat_map(|picture| picture.pixels().iter().copied()).collect(),
    };
    let shape = (pictures.len(), height, width, channels);
    let pixels = Array4::from_shape_vec(shape, bytes)
        .map_err(|_| DataError::Images(format!("{channels} channels, expected 1 or 3")))?;
    Images::new(pixels)
}

/// The brightness of each pixel, 0 to 255, row by row.
pub fn luma(picture: &Picture) -> impl Iterator<Item = u8> {
    picture.pixels().chunks_exact(3).map(|rgb| {
        let [r, g, b] = [rgb[0], rgb[1], rgb[2]].map(u32::from);
        ((299 * r + 587 * g + 114 * b + 500) / 1000) as u8
    })
}
