//! Datasets of picture files in a folder.
//!
//! Pictures are PNG, JPEG or GIF files at any depth of sub-folders, in the order of their paths.
//! Hidden files and folders are left out. [`Broken`] decides about unreadable files.

mod pictures;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::parallel::parallel_map;
use crate::read::{files, is_hidden, is_picture, of_folder};
use crate::{DataError, InMemoryDataset, LabelledDataset};
use pictures::{Fitting, Stack, Streamed};

/// Largest value of [`FolderConfig::size`].
pub const LONGEST_SIDE: usize = 8192;

/// Default of [`FolderConfig::memory_mib`].
pub const MEMORY_MIB: u64 = 4096;

/// A folder of pictures, and how it is read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FolderConfig {
    /// The folder.
    pub path: PathBuf,
    /// Side of the images, 1 to [`LONGEST_SIDE`] pixels: every picture is resized and cropped to
    /// it. Without it, all pictures must have one size.
    pub size: Option<usize>,
    /// Source of the labels.
    #[serde(default)]
    pub labels: FolderLabels,
    /// Policy for unreadable files.
    #[serde(default)]
    pub broken: Broken,
    /// Memory limit in MiB: images of at most this size in total, N·H·W·C bytes, are decoded once
    /// and kept. Larger datasets are decoded at every read. The machine's memory is not considered,
    /// so that a resumed run has the same order of images on any machine.
    #[serde(default = "memory_mib")]
    pub memory_mib: u64,
}

fn memory_mib() -> u64 {
    MEMORY_MIB
}

impl FolderConfig {
    /// A folder without labels, whose pictures have one size and are all readable.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        let (labels, broken) = (FolderLabels::default(), Broken::default());
        Self { path: path.into(), size: None, labels, broken, memory_mib: MEMORY_MIB }
    }
}

/// Source of the label of a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FolderLabels {
    /// No labels.
    #[default]
    None,
    /// The file name before the first `_`, as in `cat_01.png` (improved-diffusion). Class ids
    /// follow the sorted prefixes.
    Prefix,
    /// The top-level sub-folder, as in `cat/01.png` or `cat/tabby/01.png`. Class ids follow the
    /// sorted sub-folders.
    Folder,
}

/// Policy for unreadable files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Broken {
    /// Return an error.
    #[default]
    Fail,
    /// Leave the file out. If it proves unreadable only later, the next readable picture replaces it.
    Skip,
}

/// The pictures of a folder, in memory.
#[derive(Debug)]
pub struct Folder {
    /// The pictures in the order of their paths, and their labels.
    pub dataset: InMemoryDataset,
    /// Names of the classes, in the order of their ids; empty without labels.
    pub classes: Vec<String>,
    /// The errors of the files that were left out.
    pub skipped: Vec<DataError>,
}

/// The pictures of a folder, in memory or streamed.
#[derive(Debug)]
pub struct OpenFolder {
    /// The pictures in the order of their paths, and their labels.
    pub data: LabelledDataset,
    /// Names of the classes, in the order of their ids; empty without labels.
    pub classes: Vec<String>,
    /// The errors of the files that were left out.
    pub skipped: Vec<DataError>,
}

/// Opens a folder as a dataset.
///
/// Images of at most [`memory_mib`](FolderConfig::memory_mib) are loaded, as by [`load`]. Of larger
/// datasets only the file headers are read; each picture is decoded when it is read.
///
/// - channels: 3 for RGB, or 1 for gray (luma)
///
/// ```
/// use inkdrop_data::folder::{self, FolderConfig};
/// use inkdrop_data::picture::{Picture, write_png};
///
/// # let place = tempfile::tempdir().expect("a temporary folder");
/// # let path = place.path();
/// write_png(path.join("large.png"), &Picture::filled(40, 30, [7; 3]))?;
/// let config = FolderConfig { size: Some(16), memory_mib: 0, ..FolderConfig::new(path) };
/// let images = folder::open(&config, 3)?.data.images;
/// assert_eq!((images.len(), images.shape()), (1, [16, 16, 3]));
///
/// let mut pixels = vec![0; 16 * 16 * 3];
/// images.read(0, &mut pixels)?;
/// assert!(pixels.iter().all(|&value| value == 7));
/// # Ok::<(), inkdrop_data::DataError>(())
/// ```
///
/// # Errors
/// As for [`load`]. A streamed file with a valid header and damaged content fails when it is read.
pub fn open(config: &FolderConfig, channels: usize) -> Result<OpenFolder, DataError> {
    let fitting = Fitting::new(config.size, channels)?;
    let listing = list(&config.path, config.labels)?;
    let most = config.memory_mib.saturating_mul(1 << 20);
    if fitting.bytes(&listing, config.broken)? <= most {
        let Folder { dataset, classes, skipped } = gather(config, fitting, listing)?;
        return Ok(OpenFolder { data: dataset.into(), classes, skipped });
    }
    let classes = listing.classes.clone();
    let (streamed, labels, skipped) = Streamed::open(config, fitting, listing)?;
    let data = LabelledDataset { images: Arc::new(streamed), labels };
    Ok(OpenFolder { data, classes, skipped })
}

/// Loads all pictures of a folder into memory, without the limit of
/// [`memory_mib`](FolderConfig::memory_mib).
///
/// Pictures of another size are resized by [`fit`](crate::read::fit).
///
/// - channels: 3 for RGB, or 1 for gray (luma)
///
/// # Errors
/// - [`DataError::Images`] if `channels` or the size is out of range
/// - [`DataError::Read`] or [`DataError::File`] if the folder or a file cannot be read, a label is
///   missing, a class has no picture, or no picture is left
pub fn load(config: &FolderConfig, channels: usize) -> Result<Folder, DataError> {
    let fitting = Fitting::new(config.size, channels)?;
    gather(config, fitting, list(&config.path, config.labels)?)
}

fn gather(config: &FolderConfig, fitting: Fitting, listing: Listing) -> Result<Folder, DataError> {
    let Listing { files, classes } = listing;
    let mut stack = Stack::new(fitting);
    let mut skipped = Vec::new();
    parallel_map(
        &files,
        |(path, _)| fitting.read(path),
        |index, read| {
            let (path, class) = &files[index];
            match read {
                Ok(fitted) => stack.push(path, fitted, *class),
                Err(error) => skip(config.broken, error, &mut skipped),
            }
        },
    )?;
    if stack.is_empty() {
        return Err(nothing_left(config, &skipped));
    }
    let dataset = stack.finish(classes.len())?;
    Ok(Folder { dataset, classes, skipped })
}

/// Records the error of a skipped file, or returns it.
fn skip(broken: Broken, error: DataError, skipped: &mut Vec<DataError>) -> Result<(), DataError> {
    match broken {
        Broken::Fail => Err(error),
        Broken::Skip => {
            skipped.push(error);
            Ok(())
        }
    }
}

/// The error of a folder without any readable file.
fn nothing_left(config: &FolderConfig, skipped: &[DataError]) -> DataError {
    let first = skipped.first().map_or(String::new(), ToString::to_string);
    let problem = format!(
        "none of its {} pictures can be read, expected at least one; the first is {first}",
        skipped.len()
    );
    DataError::file(&config.path, problem)
}

/// The files of a folder, in order.
struct Listing {
    /// Each file with its class id; 0 without classes.
    pub files: Vec<(PathBuf, u32)>,
    /// Names of the classes, sorted.
    pub classes: Vec<String>,
}

fn list(folder: &Path, labels: FolderLabels) -> Result<Listing, DataError> {
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
    name.ok_or_else(|| DataError::file(path, "its name is not UTF-8, expected a class; rename it"))
}
