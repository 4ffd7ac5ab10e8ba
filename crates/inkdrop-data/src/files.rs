//! The picture files of a folder and of its sub-folders.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::decode::{FOREIGN, FORMATS};
use crate::note::Others;
use crate::{DataError, Note};

const ENDINGS: [&str; 12] =
    ["png", "apng", "jpg", "jpeg", "jpe", "jfif", "gif", "webp", "bmp", "tif", "tiff", "qoi"];

/// What a folder holds.
#[derive(Debug)]
pub(crate) struct Tree {
    /// The picture files, in the order of their paths.
    pub files: Vec<PathBuf>,
    /// The folders right below the first one, hidden ones and unreadable ones excepted.
    pub folders: Vec<PathBuf>,
    /// What holds no picture.
    pub others: Others,
    /// The errors of links that lead nowhere, and of folders that cannot be read.
    pub unreachable: Vec<DataError>,
    /// Whether a file is listed.
    takes: fn(&Path) -> bool,
}

impl Tree {
    /// Lists a folder.
    ///
    /// # Errors
    /// [`DataError::Read`] if the folder itself cannot be read.
    pub fn of(folder: &Path) -> Result<Self, DataError> {
        Self::with(folder, is_picture)
    }

    /// Lists a folder with the files that are taken.
    fn with(folder: &Path, takes: fn(&Path) -> bool) -> Result<Self, DataError> {
        let (files, folders, unreachable) = (Vec::new(), Vec::new(), Vec::new());
        let mut tree = Self { files, folders, others: Others::default(), unreachable, takes };
        tree.collect(folder, &mut HashSet::new(), 0)?;
        Ok(tree)
    }

    /// Lists a folder; false if it is listed already.
    ///
    /// - seen: real paths of the folders so far, against cycles of symbolic links
    fn collect(
        &mut self,
        folder: &Path,
        seen: &mut HashSet<PathBuf>,
        depth: usize,
    ) -> Result<bool, DataError> {
        let unread = |error| DataError::read(folder, error);
        if !seen.insert(fs::canonicalize(folder).map_err(unread)?) {
            self.others.add("link to a folder that is listed already");
            return Ok(false);
        }
        let entries = fs::read_dir(folder).map_err(unread)?;
        let mut paths = Vec::new();
        for entry in entries {
            let entry = entry.map_err(unread)?;
            paths.push((entry.path(), entry.file_type().map_err(unread)?));
        }
        paths.sort_by(|a, b| a.0.cmp(&b.0));
        for (path, kind) in paths {
            let kind = match kind.is_symlink().then(|| fs::metadata(&path)) {
                None => kind,
                Some(Ok(target)) => target.file_type(),
                Some(Err(error)) => {
                    self.unreachable.push(DataError::read(&path, error));
                    continue;
                }
            };
            // A pipe or a device may never end.
            match kind.is_dir() || kind.is_file() {
                true => self.add(path, kind.is_dir(), seen, depth),
                false => self.others.add("pipe, socket or device"),
            }
        }
        Ok(true)
    }

    fn add(&mut self, path: PathBuf, is_folder: bool, seen: &mut HashSet<PathBuf>, depth: usize) {
        if let Some(kind) = junk(&path, is_folder) {
            self.others.add(kind);
        } else if is_folder {
            match self.collect(&path, seen, depth + 1) {
                Ok(true) if depth == 0 => self.folders.push(path),
                Ok(_) => {}
                Err(error) => self.unreachable.push(error),
            }
        } else if (self.takes)(&path) {
            self.files.push(path);
        } else {
            self.others.add_file(&path);
        }
    }
}

/// Lists picture files. A folder stands for all picture files in it and in its sub-folders, in the
/// order of their paths.
///
/// Hidden files and folders are left out. A folder that is linked several times is listed once.
/// [`find`] also tells what was left out.
///
/// # Errors
/// As for [`find`].
pub fn files<P: AsRef<Path>>(names: &[P]) -> Result<Vec<PathBuf>, DataError> {
    find(names).map(|found| found.files)
}

/// Picture files, and notes on what was left out.
#[derive(Debug)]
pub struct FoundFiles {
    /// The files.
    pub files: Vec<PathBuf>,
    /// Notes on other files, on links that lead nowhere, and on folders that cannot be read.
    pub notes: Vec<Note>,
}

/// Lists picture files as [`files`] does, with notes on what was left out.
///
/// # Errors
/// [`DataError::Read`] if a path cannot be read, [`DataError::File`] if a folder has no picture.
pub fn find<P: AsRef<Path>>(names: &[P]) -> Result<FoundFiles, DataError> {
    find_those(names, is_picture)
}

/// Lists picture files and .npy files of images as [`find`] does; files of labels, `x_labels.npy`, are left out of
/// folders.
///
/// # Errors
/// As for [`find`].
pub fn find_images<P: AsRef<Path>>(names: &[P]) -> Result<FoundFiles, DataError> {
    find_those(names, |path| is_picture(path) || is_array(path))
}

fn find_those<P: AsRef<Path>>(
    names: &[P],
    takes: fn(&Path) -> bool,
) -> Result<FoundFiles, DataError> {
    let mut found = FoundFiles { files: Vec::new(), notes: Vec::new() };
    for name in names.iter().map(AsRef::as_ref) {
        let is_folder = fs::metadata(name).map_err(|error| DataError::read(name, error))?.is_dir();
        if !is_folder {
            found.files.push(name.to_path_buf());
            continue;
        }
        let Tree { files, others, unreachable, .. } = Tree::with(name, takes)?;
        if files.is_empty() {
            return Err(nothing_in(name, "folder", &others));
        }
        found.files.extend(files);
        found.notes.extend(others.note());
        found.notes.extend(unreachable.into_iter().map(Note::LeftOut));
    }
    Ok(found)
}

/// The error of a folder or an archive without a picture.
pub(crate) fn nothing_in(path: &Path, what: &str, others: &Others) -> DataError {
    let mut problem =
        format!("there is no picture ({FORMATS}) in this {what}; name one that has some");
    if !others.is_empty() {
        let foreign = FOREIGN.map(|ending| format!(".{ending}"));
        let convertible = others.kinds().any(|kind| foreign.iter().any(|foreign| foreign == kind));
        let remedy = if convertible { ", or convert its pictures to PNG" } else { "" };
        problem += &format!("{remedy}. It holds {others}");
    }
    DataError::file(path, problem)
}

/// The kind of a file or folder that is left out whatever it holds.
pub(crate) fn junk(path: &Path, is_folder: bool) -> Option<&'static str> {
    match (is_hidden(path), is_folder) {
        (true, true) => Some("hidden folder"),
        (true, false) => Some("hidden file"),
        // Attributes of macOS's files, and previews of a Synology server's pictures.
        (false, true) if path.ends_with("__MACOSX") => Some("__MACOSX"),
        (false, true) if path.ends_with("@eaDir") => Some("@eaDir"),
        _ => None,
    }
}

/// True if a file name begins with a dot.
fn is_hidden(path: &Path) -> bool {
    path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."))
}

/// True if the ending is that of a picture.
pub(crate) fn is_picture(path: &Path) -> bool {
    let known = |ending: &str| ENDINGS.iter().any(|known| known.eq_ignore_ascii_case(ending));
    path.extension().and_then(|ending| ending.to_str()).is_some_and(known)
}

/// True if the name is that of a .npy file of images.
fn is_array(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    name.ends_with(".npy") && !name.ends_with("_labels.npy")
}
