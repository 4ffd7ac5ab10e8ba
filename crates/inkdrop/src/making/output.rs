//! Where samples go: a picture, an npz file or a folder.

mod array;
mod folder;
mod picture;

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, Result, ensure};
use inkdrop_data::Images;

use crate::making::job::Job;
use crate::making::sheet::Sheet;

/// The form of the output, from its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// A grid of all images.
    Png(PathBuf),
    /// arr_0 uint8 [N, H, W, C], arr_1 int64 labels.
    Npz(PathBuf),
    /// A PNG per image.
    Folder(PathBuf),
}

impl FromStr for Output {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let path = PathBuf::from(text);
        let ending = path.extension().map(|ending| ending.to_string_lossy().to_lowercase());
        match ending.as_deref() {
            _ if text.ends_with('/') => Ok(Self::Folder(path)),
            Some("png") => Ok(Self::Png(path)),
            Some("npz") => Ok(Self::Npz(path)),
            _ if path.is_dir() => Ok(Self::Folder(path)),
            _ => Err("expected a name that ends in .png, .npz or / (a folder)".to_string()),
        }
    }
}

impl Output {
    /// The name that was given.
    pub fn path(&self) -> &Path {
        match self {
            Self::Png(path) | Self::Npz(path) | Self::Folder(path) => path,
        }
    }

    /// Whether each image gets a file of its own.
    pub fn is_folder(&self) -> bool {
        matches!(self, Self::Folder(_))
    }

    /// Finds out what of a job is there already, and whether the rest can be written; nothing is
    /// changed yet.
    ///
    /// - sheet: what a picture shows beside the images that are made
    pub fn target(&self, job: Job, sheet: Option<Sheet>) -> Result<Box<dyn Target>> {
        Ok(match self {
            Self::Png(path) => Box::new(picture::Target::plan(path, &job, sheet)?),
            Self::Npz(path) => Box::new(array::Target::plan(path, job)?),
            Self::Folder(path) => Box::new(folder::Target::plan(path, job)?),
        })
    }
}

/// A place for the images of one job, some of which may be there already.
pub trait Target {
    /// The numbers of the images that are still to be made: whole batches, in order.
    fn missing(&self) -> &[Range<usize>];

    /// What to say where nothing at all is left to do.
    fn done(&self) -> Option<String>;

    /// Makes the place ready for the first image.
    fn begin(&mut self) -> Result<()>;

    /// Takes a batch, in the order of [`Target::missing`]; one that is there already changes nothing.
    fn push(&mut self, numbers: Range<usize>, images: Images) -> Result<()>;

    /// Takes an image for each of the next batch, to be shown at its left where there is a picture.
    fn beside(&mut self, _: Images) {}

    /// Writes what is left; where it all went, in words.
    fn finish(self: Box<Self>) -> Result<String>;

    /// What is there after a run that was stopped, and how to go on, in words.
    fn stopped(&self) -> String;
}

/// `1 image`, `2 images`.
fn counted(count: usize, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {what}{plural}")
}

/// Whether two names are of one file; both folders are there.
pub fn same_place(left: &Path, right: &Path) -> bool {
    let place =
        |path: &Path| Some((fs::canonicalize(folder(path)).ok()?, path.file_name()?.to_owned()));
    place(left).is_some_and(|left| place(right) == Some(left))
}

/// Makes sure that a file can be written at a place, without touching one that is there.
pub fn check_place(path: &Path) -> Result<()> {
    ensure!(!path.is_dir(), "{} is a folder", path.display());
    let folder = folder(path);
    ensure!(
        folder.is_dir(),
        "cannot write {}: there is no folder {}",
        path.display(),
        folder.display()
    );
    check_writable(folder)
}

/// The folder of a file.
fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Makes and removes a file, since permissions alone do not tell (root, read-only mounts, quotas).
fn check_writable(folder: &Path) -> Result<()> {
    let probe = folder.join(format!(".inkdrop-{}", std::process::id()));
    fs::write(&probe, b"").with_context(|| format!("cannot write into {}", folder.display()))?;
    Ok(fs::remove_file(&probe)?)
}
