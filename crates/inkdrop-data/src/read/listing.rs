//! Which picture files a folder holds.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::DataError;

const ENDINGS: [&str; 4] = ["png", "jpg", "jpeg", "gif"];

/// The files behind names: a file is itself, a folder all the PNG, JPEG and GIF files in it and
/// in its sub-folders, in the order of their paths.
///
/// Hidden files and folders are left out; a folder that links lead to again is read once.
///
/// # Errors
/// [`DataError::Read`] where a name is of nothing that can be read, [`DataError::File`] where a
/// folder holds no picture.
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

/// The pictures of a folder and of its sub-folders; may be none.
pub(crate) fn of_folder(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    let mut found = Vec::new();
    walk(folder, &mut HashSet::new(), &mut found)?;
    Ok(found)
}

fn walk(
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
            walk(&path, seen, found)?;
        } else if !is_folder && is_picture(&path) {
            found.push(path);
        }
    }
    Ok(())
}

/// Whether a name begins with a dot.
pub(crate) fn is_hidden(path: &Path) -> bool {
    path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."))
}

/// Whether a name is of a picture file that is not hidden.
pub(crate) fn is_picture(path: &Path) -> bool {
    let known = |ending| ENDINGS.iter().any(|known| known.eq_ignore_ascii_case(ending));
    !is_hidden(path) && path.extension().and_then(|ending| ending.to_str()).is_some_and(known)
}
