//! Which files a folder holds, and of which class each is.

use std::fs;
use std::path::{Path, PathBuf};

use super::FolderLabels;
use crate::DataError;
use crate::read::{files, is_hidden, is_picture, of_folder};

/// The files of a folder, in order.
pub(super) struct Listing {
    /// Each file with the id of its class; 0 where there are no classes.
    pub files: Vec<(PathBuf, u32)>,
    /// Names of the classes, sorted.
    pub classes: Vec<String>,
}

pub(super) fn list(folder: &Path, labels: FolderLabels) -> Result<Listing, DataError> {
    let metadata = fs::metadata(folder).map_err(|error| DataError::read(folder, error))?;
    if !metadata.is_dir() {
        let problem = "a file, expected a folder of pictures; give the name of its folder";
        return Err(DataError::file(folder, problem));
    }
    match labels {
        FolderLabels::None => {
            let files = files(&[folder])?.into_iter().map(|path| (path, 0)).collect();
            Ok(Listing { files, classes: Vec::new() })
        }
        FolderLabels::Prefix => Ok(numbered(by_prefix(folder)?)),
        FolderLabels::Folder => Ok(numbered(by_folder(folder)?)),
    }
}

/// Sorts files by path and numbers their classes by name.
fn numbered(mut named: Vec<(PathBuf, String)>) -> Listing {
    named.sort();
    let mut classes: Vec<String> = named.iter().map(|(_, class)| class.clone()).collect();
    classes.sort();
    classes.dedup();
    let id = |class: &String| classes.partition_point(|name| name < class) as u32;
    let files = named.into_iter().map(|(path, class)| (path, id(&class))).collect();
    Listing { files, classes }
}

fn by_prefix(folder: &Path) -> Result<Vec<(PathBuf, String)>, DataError> {
    let class = |path: PathBuf| match name(&path)?.split_once('_') {
        Some((prefix, _)) if !prefix.is_empty() => {
            let prefix = prefix.to_owned();
            Ok((path, prefix))
        }
        _ => Err(DataError::file(
            &path,
            "no class before a `_` in its name, expected one as in cat_01.png; \
             rename it, or read the folder without labels",
        )),
    };
    files(&[folder])?.into_iter().map(class).collect()
}

fn by_folder(folder: &Path) -> Result<Vec<(PathBuf, String)>, DataError> {
    let mut named = Vec::new();
    let unread = |error| DataError::read(folder, error);
    for entry in fs::read_dir(folder).map_err(unread)? {
        let path = entry.map_err(unread)?.path();
        if is_hidden(&path) {
            continue;
        }
        if path.is_dir() {
            named.extend(of_class(&path)?);
        } else if is_picture(&path) {
            let problem = "a picture beside class folders, expected one inside as in cat/01.png; \
                           move it, or take the labels from elsewhere";
            return Err(DataError::file(&path, problem));
        }
    }
    if named.is_empty() {
        let problem = "there is no class folder in this folder, expected one per class as in \
                       cat/01.png; make some, or take the labels from elsewhere";
        return Err(DataError::file(folder, problem));
    }
    Ok(named)
}

fn of_class(folder: &Path) -> Result<Vec<(PathBuf, String)>, DataError> {
    let class = name(folder)?.to_owned();
    let files = of_folder(folder)?;
    if files.is_empty() {
        let problem = "a class folder without a PNG, JPEG or GIF file, expected at least one, for \
                       nothing could be learned of the class; add pictures, or remove the folder";
        return Err(DataError::file(folder, problem));
    }
    Ok(files.into_iter().map(|file| (file, class.clone())).collect())
}

fn name(path: &Path) -> Result<&str, DataError> {
    let name = path.file_name().and_then(|name| name.to_str());
    name.ok_or_else(|| DataError::file(path, "its name is no UTF-8, expected a class; rename it"))
}
