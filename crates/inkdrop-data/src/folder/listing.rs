//! The pictures of a folder or an archive, with their classes.

use std::path::{Component, Path, PathBuf};

use super::{Broken, FolderConfig, FolderLabels};
use crate::archive::{Kind, Members};
use crate::files::{Tree, nothing_in};
use crate::item::Item;
use crate::{DataError, Note};

/// The pictures, in order.
pub(super) struct Listing {
    /// Each picture with its class id; 0 without classes.
    pub items: Vec<(Item, u32)>,
    /// Names of the classes, sorted.
    pub classes: Vec<String>,
    /// Notes on what was left out.
    pub notes: Vec<Note>,
}

/// Pictures with their paths below the folder or within the archive.
struct Found {
    items: Vec<(PathBuf, Item)>,
    /// The top-level folders, if they are known.
    folders: Vec<PathBuf>,
    notes: Vec<Note>,
}

/// Lists a folder or an archive.
pub(super) fn list(config: &FolderConfig) -> Result<Listing, DataError> {
    let path = &config.path;
    let metadata = std::fs::metadata(path).map_err(|error| DataError::read(path, error))?;
    let Found { items, folders, notes } = match metadata.is_dir() {
        true => of_folder(config)?,
        false => of_archive(config)?,
    };
    let (named, classes) = match config.labels {
        FolderLabels::None => {
            let items = items.into_iter().map(|(_, item)| (item, 0)).collect();
            return Ok(Listing { items, classes: Vec::new(), notes });
        }
        FolderLabels::Prefix => numbered(items, by_prefix)?,
        FolderLabels::Folder => {
            check_folders(path, &items, &folders)?;
            numbered(items, by_folder)?
        }
    };
    Ok(Listing { items: named, classes, notes })
}

fn of_folder(config: &FolderConfig) -> Result<Found, DataError> {
    let Tree { files, folders, others, mut unreachable, .. } = Tree::of(&config.path)?;
    if config.broken == Broken::Fail && !unreachable.is_empty() {
        return Err(unreachable.swap_remove(0).into_damaged());
    }
    if files.is_empty() && config.labels != FolderLabels::Folder {
        return Err(nothing_in(&config.path, "folder", &others));
    }
    let inner = |file: &Path| file.strip_prefix(&config.path).unwrap_or(file).to_path_buf();
    let items = files.into_iter().map(|file| (inner(&file), Item::file(file))).collect();
    let unreachable = unreachable.into_iter().map(Note::LeftOut);
    let notes = others.note().into_iter().chain(unreachable).collect();
    Ok(Found { items, folders, notes })
}

fn of_archive(config: &FolderConfig) -> Result<Found, DataError> {
    let path = &config.path;
    let kind = Kind::of(path).map_err(|error| DataError::read(path, error))?;
    let kind = kind.ok_or_else(|| {
        let problem = "a file, expected a folder of pictures, or a zip, tar or tar.gz archive of \
                       some; give the name of its folder";
        DataError::file(path, problem)
    })?;
    let Members { items, others } = Members::of(path, kind, config.memory_mib)?;
    if items.is_empty() {
        return Err(nothing_in(path, "archive", &others));
    }
    let found =
        Note::Found { path: path.clone(), kind: format!("{} ({})", kind.name(), items.len()) };
    let notes = [found].into_iter().chain(others.note()).collect();
    Ok(Found { items: without_root(items), folders: Vec::new(), notes })
}

/// Members without the folder that holds all of them, if there are sub-folders of it.
fn without_root(items: Vec<(PathBuf, Item)>) -> Vec<(PathBuf, Item)> {
    let root = items.first().and_then(|(path, _)| path.components().next());
    let root = root.map(|root| PathBuf::from(root.as_os_str())).unwrap_or_default();
    let below = |path: &Path| {
        let rest = path.strip_prefix(&root).ok()?;
        (rest.components().count() > 1).then(|| rest.to_path_buf())
    };
    match items.iter().map(|(path, _)| below(path)).collect::<Option<Vec<_>>>() {
        Some(inner) => inner.into_iter().zip(items).map(|(path, (_, item))| (path, item)).collect(),
        None => items,
    }
}

/// Pictures with class ids, and the names of the classes.
type Numbered = (Vec<(Item, u32)>, Vec<String>);

/// Sorts pictures by path and numbers their classes by name.
fn numbered(
    items: Vec<(PathBuf, Item)>,
    class: fn(&Path, &Item) -> Result<String, DataError>,
) -> Result<Numbered, DataError> {
    let mut named = Vec::new();
    for (path, item) in items {
        named.push((class(&path, &item)?, item));
    }
    named.sort_by(|a, b| a.1.path.cmp(&b.1.path));
    let mut classes: Vec<String> = named.iter().map(|(class, _)| class.clone()).collect();
    classes.sort();
    classes.dedup();
    let id = |class: &String| classes.partition_point(|name| name < class) as u32;
    let items = named.into_iter().map(|(class, item)| (item, id(&class))).collect();
    Ok((items, classes))
}

fn by_prefix(path: &Path, item: &Item) -> Result<String, DataError> {
    let name = path.file_name().and_then(|name| name.to_str());
    match name.ok_or_else(|| no_name(&item.path))?.split_once('_') {
        Some((prefix, _)) if !prefix.is_empty() => Ok(prefix.to_owned()),
        _ => Err(DataError::file(
            &item.path,
            "no class before a `_` in its name, expected one as in cat_01.png; \
             rename it, or read the folder without labels",
        )),
    }
}

fn by_folder(path: &Path, item: &Item) -> Result<String, DataError> {
    let mut parts = path.components();
    match (parts.next(), parts.next()) {
        (Some(Component::Normal(class)), Some(_)) => {
            class.to_str().map(str::to_owned).ok_or_else(|| no_name(&item.path))
        }
        _ => {
            let problem = "a picture beside class folders, expected one inside as in cat/01.png; \
                           move it, or take the labels from elsewhere";
            Err(DataError::file(&item.path, problem))
        }
    }
}

fn no_name(path: &Path) -> DataError {
    DataError::file(path, "its name is not UTF-8, expected a class; rename it")
}

/// Checks that there are class folders, each with a picture.
fn check_folders(
    path: &Path,
    items: &[(PathBuf, Item)],
    folders: &[PathBuf],
) -> Result<(), DataError> {
    if items.is_empty() && folders.is_empty() {
        let problem = "there is no class folder in this folder, expected one per class as in \
                       cat/01.png; make some, or take the labels from elsewhere";
        return Err(DataError::file(path, problem));
    }
    let is_empty = |folder: &&PathBuf| !items.iter().any(|(_, item)| item.path.starts_with(folder));
    match folders.iter().find(is_empty) {
        None => Ok(()),
        Some(folder) => {
            let problem = "a class folder without a picture, expected at least one, for \
                           nothing could be learned of the class; add pictures, or remove the folder";
            Err(DataError::file(folder, problem))
        }
    }
}
