//! Picture files of a user: finding, decoding and resizing them to the size that is needed.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use ndarray::Array4;

pub use crate::decode::{
    Animation, Decoded, MOST_PIXELS, Orientation, PictureOptions, Transparent, decode_picture,
    read_picture,
};
pub use crate::resize::{fit, place};

use crate::picture::Picture;
use crate::{DataError, Images};

/// Converts pictures of one size to images.
///
/// - channels: 3 for RGB, or 1 for gray by [`luma`]
///
/// # Shapes
/// - returns `[N, height, width, channels]`
///
/// # Errors
/// [`DataError::Images`] if there is no picture, sizes differ, or `channels` is neither 1 nor 3.
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

/// The luma of each pixel, 0 to 255, row by row: 0.299 R + 0.587 G + 0.114 B (ITU-R BT.601), with
/// the rounding of Pillow's mode `L`.
pub fn luma(picture: &Picture) -> impl Iterator<Item = u8> {
    picture.pixels().chunks_exact(3).map(|rgb| {
        let [r, g, b] = [rgb[0], rgb[1], rgb[2]].map(u32::from);
        ((19595 * r + 38470 * g + 7471 * b + 32768) >> 16) as u8
    })
}

const ENDINGS: [&str; 4] = ["png", "jpg", "jpeg", "gif"];

/// Lists picture files. A folder stands for all PNG, JPEG and GIF files in it and in its
/// sub-folders, in the order of their paths.
///
/// Hidden files and folders are left out. A folder that is linked several times is listed once.
///
/// # Errors
/// [`DataError::Read`] if a path cannot be read, [`DataError::File`] if a folder has no picture.
pub fn files<P: AsRef<Path>>(names: &[P]) -> Result<Vec<PathBuf>, DataError> {
    let mut all = Vec::new();
    for name in names.iter().map(AsRef::as_ref) {
        let is_folder = fs::metadata(name).map_err(|error| DataError::read(name, error))?.is_dir();
        let found = if is_folder { of_folder(name)? } else { vec![name.to_path_buf()] };
        if found.is_empty() {
            let problem =
                "there is no picture (PNG, JPEG or GIF) in this folder; name one that has some";
            return Err(DataError::file(name, problem));
        }
        all.extend(found);
    }
    Ok(all)
}

/// The pictures of a folder and of its sub-folders.
pub(crate) fn of_folder(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    let mut found = Vec::new();
    collect_pictures(folder, &mut HashSet::new(), &mut found)?;
    Ok(found)
}

/// - seen: real paths of the folders so far, against cycles of symbolic links
fn collect_pictures(
    folder: &Path,
    seen: &mut HashSet<PathBuf>,
    found: &mut Vec<PathBuf>,
) -> Result<(), DataError> {
    let unread = |error| DataError::read(folder, error);
    if !seen.insert(fs::canonicalize(folder).map_err(unread)?) {
        return Ok(());
    }
    let mut entries = Vec::new();
    for entry in fs::read_dir(folder).map_err(unread)? {
        let entry = entry.map_err(unread)?;
        let kind = entry.file_type().map_err(unread)?;
        let path = entry.path();
        let is_folder = if kind.is_symlink() { path.is_dir() } else { kind.is_dir() };
        entries.push((path, is_folder));
    }
    entries.sort();
    for (path, is_folder) in entries {
        if is_folder && !is_hidden(&path) {
            collect_pictures(&path, seen, found)?;
        } else if !is_folder && is_picture(&path) {
            found.push(path);
        }
    }
    Ok(())
}

/// True if a file name begins with a dot.
pub(crate) fn is_hidden(path: &Path) -> bool {
    path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."))
}

/// True if the extension is that of a picture and the file is not hidden.
pub(crate) fn is_picture(path: &Path) -> bool {
    let known = |ending| ENDINGS.iter().any(|known| known.eq_ignore_ascii_case(ending));
    !is_hidden(path) && path.extension().and_then(|ending| ending.to_str()).is_some_and(known)
}
