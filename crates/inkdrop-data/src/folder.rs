//! How a folder of PNG files becomes a data set.
//!
//! A file that is broken is an error that names it, or is left out and listed, as [`Broken`] says.

mod list;
mod stack;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::picture::Picture;
use crate::read::{fit, read_png};
use crate::{DataError, Dataset};
use list::Listing;
use stack::Stack;

/// The longest side that pictures are fitted to.
pub const LONGEST_SIDE: usize = 8192;

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
}

impl FolderConfig {
    /// A flat folder without labels, its pictures of one size, none of them broken.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        let (labels, broken) = (FolderLabels::default(), Broken::default());
        Self { path: path.into(), size: None, labels, broken }
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
    /// The sub-folder that it lies in, as in `cat/01.png`; the sorted sub-folders are numbered.
    Folder,
}

/// What becomes of a file that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Broken {
    /// Nothing is loaded.
    #[default]
    Fail,
    /// It is left out.
    Skip,
}

/// What a folder held.
#[derive(Debug)]
pub struct Folder {
    /// The pictures in the order of their paths, and their labels.
    pub dataset: Dataset,
    /// Names of the classes, in the order of their ids; empty without labels.
    pub classes: Vec<String>,
    /// What is wrong with the files that were left out; each says which.
    pub skipped: Vec<DataError>,
}

/// Reads all PNG files of a folder, but hidden ones.
///
/// A picture that is not of the wanted size is fitted by [`fit`].
///
/// - channels: 3, or 1 for gray, which is luma
///
/// # Errors
/// [`DataError::Images`] where channels or size cannot be; [`DataError::Read`] and
/// [`DataError::File`] where the folder or a file cannot be used, a class cannot be told, or no
/// picture is left.
pub fn load(config: &FolderConfig, channels: usize) -> Result<Folder, DataError> {
    check(config.size, channels)?;
    let Listing { files, classes } = list::list(&config.path, config.labels)?;
    let mut stack = Stack::new(channels);
    let mut skipped = Vec::new();
    for (path, class) in &files {
        match picture(path, config.size) {
            Ok(picture) => stack.push(path, &picture, *class)?,
            Err(error) if config.broken == Broken::Skip => skipped.push(error),
            Err(error) => return Err(error),
        }
    }
    if let (true, Some(first)) = (stack.is_empty(), skipped.first()) {
        let problem = format!(
            "none of its {} PNG files can be read, expected at least one; the first is {first}",
            files.len()
        );
        return Err(DataError::file(&config.path, problem));
    }
    let dataset = stack.finish(classes.len())?;
    Ok(Folder { dataset, classes, skipped })
}

fn check(size: Option<usize>, channels: usize) -> Result<(), DataError> {
    if let Some(size) = size.filter(|size| !(1..=LONGEST_SIDE).contains(size)) {
        return Err(DataError::Images(format!(
            "size {size}, expected 1 to {LONGEST_SIDE}; choose the side that the network takes"
        )));
    }
    if !matches!(channels, 1 | 3) {
        return Err(DataError::Images(format!(
            "{channels} channels, expected 1 (gray) or 3 (RGB); PNG files give no others"
        )));
    }
    Ok(())
}

fn picture(path: &Path, size: Option<usize>) -> Result<Picture, DataError> {
    let picture = read_png(path)?;
    match size {
        None => Ok(picture),
        Some(size) => {
            fit(&picture, size, size).map_err(|error| DataError::file(path, error.to_string()))
        }
    }
}
