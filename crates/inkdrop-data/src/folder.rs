//! How a folder of pictures becomes a data set.
//!
//! Pictures are PNG, JPEG or GIF files, at any depth of sub-folders, in the order of their paths;
//! hidden files and folders are left out. A file that is broken is an error that names it, or is
//! left out and listed, as [`Broken`] says.

mod fitted;
mod list;
mod stack;
mod stream;

use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::parallel::parallel_map;
use crate::{DataError, InMemoryDataset, LabelledDataset};
use fitted::Fitting;
use list::Listing;
use stream::Streamed;

/// The longest side that pictures are fitted to.
pub const LONGEST_SIDE: usize = 8192;

/// How many mebibytes of pictures are kept in memory where a config does not say.
pub const MEMORY_MIB: u64 = 4096;

/// Which folder, and how it is read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FolderConfig {
    /// The folder.
    pub path: PathBuf,
    /// Side that every picture is fitted to, 1 to [`LONGEST_SIDE`] pixels; without it, all have
    /// to be of one size already.
    pub size: Option<usize>,
    /// What the labels are taken from.
    #[serde(default)]
    pub labels: FolderLabels,
    /// What becomes of a file that cannot be read.
    #[serde(default)]
    pub broken: Broken,
    /// Up to how many MiB of fitted pictures, N·H·W·C bytes, [`open`] decodes once and keeps; more
    /// are decoded each time they are asked for. It alone decides, not the machine's memory, so
    /// that a run visits the pictures in the same order wherever it goes on.
    #[serde(default = "memory_mib")]
    pub memory_mib: u64,
}

fn memory_mib() -> u64 {
    MEMORY_MIB
}

impl FolderConfig {
    /// A folder without labels, its pictures of one size, none of them broken, with
    /// [`MEMORY_MIB`].
    pub fn new(path: impl Into<PathBuf>) -> Self {
        let (labels, broken) = (FolderLabels::default(), Broken::default());
        Self { path: path.into(), size: None, labels, broken, memory_mib: MEMORY_MIB }
    }
}

/// What the label of a picture is taken from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FolderLabels {
    /// There are none.
    #[default]
    None,
    /// Its name before the first `_`, as in `cat_01.png`; the sorted prefixes are numbered, as
    /// improved-diffusion does.
    Prefix,
    /// The sub-folder that it lies in, as in `cat/01.png` or `cat/tabby/01.png`; the sorted
    /// sub-folders of the folder itself are numbered.
    Folder,
}

/// What becomes of a file that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Broken {
    /// Nothing is loaded.
    #[default]
    Fail,
    /// It is left out. Where that shows only when it is asked for, the next picture that can be
    /// read takes its place.
    Skip,
}

/// What a folder held, in memory.
#[derive(Debug)]
pub struct Folder {
    /// The pictures in the order of their paths, and their labels.
    pub dataset: InMemoryDataset,
    /// Names of the classes, in the order of their ids; empty without labels.
    pub classes: Vec<String>,
    /// What is wrong with the files that were left out; each says which.
    pub skipped: Vec<DataError>,
}

/// What a folder holds, in memory or not.
#[derive(Debug)]
pub struct OpenFolder {
    /// The pictures in the order of their paths, and their labels.
    pub data: LabelledDataset,
    /// Names of the classes, in the order of their ids; empty without labels.
    pub classes: Vec<String>,
    /// What is wrong with the files that were left out; each says which.
    pub skipped: Vec<DataError>,
}

/// Opens a folder: reads it as [`load`] does where its pictures take up at most
/// [`memory_mib`](FolderConfig::memory_mib); where they take more, looks at the header of each
/// file now, and decodes a picture when it is asked for.
///
/// - channels: 3, or 1 for gray, which is luma
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
/// As [`load`]; of a file whose header is good, but not the rest, not before it is read.
pub fn open(config: &FolderConfig, channels: usize) -> Result<OpenFolder, DataError> {
    let fitting = Fitting::new(config.size, channels)?;
    let listing = list::list(&config.path, config.labels)?;
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

/// Reads all pictures of a folder into memory, whatever
/// [`memory_mib`](FolderConfig::memory_mib) says.
///
/// A picture that is not of the wanted size is fitted by [`fit`](crate::read::fit).
///
/// - channels: 3, or 1 for gray, which is luma
///
/// # Errors
/// [`DataError::Images`] where channels or size cannot be; [`DataError::Read`] and
/// [`DataError::File`] where the folder or a file cannot be used, a class cannot be told or has no
/// picture, or no picture is left.
pub fn load(config: &FolderConfig, channels: usize) -> Result<Folder, DataError> {
    let fitting = Fitting::new(config.size, channels)?;
    gather(config, fitting, list::list(&config.path, config.labels)?)
}

fn gather(config: &FolderConfig, fitting: Fitting, listing: Listing) -> Result<Folder, DataError> {
    let Listing { files, classes } = listing;
    let mut stack = stack::Stack::new(fitting);
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

/// Notes an error, or ends with it.
fn skip(broken: Broken, error: DataError, skipped: &mut Vec<DataError>) -> Result<(), DataError> {
    match broken {
        Broken::Fail => Err(error),
        Broken::Skip => {
            skipped.push(error);
            Ok(())
        }
    }
}

/// The error of a folder of which all files were left out.
fn nothing_left(config: &FolderConfig, skipped: &[DataError]) -> DataError {
    let first = skipped.first().map_or(String::new(), ToString::to_string);
    let problem = format!(
        "none of its {} pictures can be read, expected at least one; the first is {first}",
        skipped.len()
    );
    DataError::file(&config.path, problem)
}
