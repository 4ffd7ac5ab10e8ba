//! Outputs of generated images: a PNG or TIFF file, an npz archive or a directory.

mod directory;
mod npz;
mod picture;

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, Result, ensure};
use inkdrop::data::Images;
use inkdrop::samples::FileFormat;

use crate::output::contact_sheet::ContactSheet;
use crate::output::job::SamplingJob;

pub use picture::MAX_IMAGES;

/// An output, by the ending of its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// A grid of all images.
    Png(PathBuf),
    /// One page per image.
    Tiff(PathBuf),
    /// arr_0 uint8 or uint16 [N, H, W, C], arr_1 int64 labels; the same in x.npy and x_labels.npy.
    Npz(PathBuf),
    /// One PNG file per image.
    Directory(PathBuf),
}

impl FromStr for Output {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let path = PathBuf::from(text);
        Ok(match FileFormat::of(&path).map_err(|error| error.to_string())? {
            FileFormat::Png => Self::Png(path),
            FileFormat::Tiff => Self::Tiff(path),
            FileFormat::Npz | FileFormat::Npy => Self::Npz(path),
            FileFormat::Directory => Self::Directory(path),
        })
    }
}

impl Output {
    /// The path as given.
    pub fn path(&self) -> &Path {
        match self {
            Self::Png(path) | Self::Tiff(path) | Self::Npz(path) | Self::Directory(path) => path,
        }
    }

    /// True if each image is a file of its own.
    pub fn is_directory(&self) -> bool {
        matches!(self, Self::Directory(_))
    }

    /// True if the output keeps a manifest of its request, to continue a stopped run.
    pub fn keeps_manifest(&self) -> bool {
        !matches!(self, Self::Png(_) | Self::Tiff(_))
    }

    /// Plans the output: which images are there already, and whether the rest can be written. Nothing
    /// is changed yet.
    ///
    /// - sheet: the layout of a picture
    pub fn sink(
        &self,
        job: SamplingJob,
        sheet: Option<ContactSheet>,
    ) -> Result<Box<dyn ImageSink>> {
        Ok(match self {
            Self::Png(path) => Box::new(picture::PictureSink::png(path, &job, sheet)?),
            Self::Tiff(path) => Box::new(picture::PictureSink::tiff(path, &job)?),
            Self::Npz(path) => Box::new(npz::NpzSink::plan(path, job)?),
            Self::Directory(path) => Box::new(directory::DirectorySink::plan(path, job)?),
        })
    }
}

/// An output for the images of one job, some of which may be there already.
pub trait ImageSink {
    /// Indices of the missing images: whole batches, in order.
    fn missing(&self) -> &[Range<usize>];

    /// The message if nothing is left to do.
    fn done(&self) -> Option<String>;

    /// Prepares the output for the first image.
    fn begin(&mut self) -> Result<()>;

    /// Adds a batch, in the order of [`ImageSink::missing`]. A batch that is there already is ignored.
    fn push(&mut self, numbers: Range<usize>, images: Images) -> Result<()>;

    /// Adds one image for each image of the next batch, which a picture shows to its left.
    fn beside(&mut self, _: Images) {}

    /// Writes the rest; returns a message with the path.
    fn finish(self: Box<Self>) -> Result<String>;

    /// The message for a stopped run: what is there, and how to continue.
    fn stopped(&self) -> String;
}

/// `1 image`, `2 images`.
fn counted(count: usize, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {what}{plural}")
}

/// True if two paths name the same file. Both parent directories must exist.
pub fn same_place(left: &Path, right: &Path) -> bool {
    let place =
        |path: &Path| Some((fs::canonicalize(folder(path)).ok()?, path.file_name()?.to_owned()));
    place(left).is_some_and(|left| place(right) == Some(left))
}

/// Checks that a file can be written at a path, without touching an existing one.
pub fn check_place(path: &Path) -> Result<()> {
    ensure!(!path.is_dir(), "{} is a directory", path.display());
    let folder = folder(path);
    ensure!(
        folder.is_dir(),
        "cannot write {}: there is no directory {}",
        path.display(),
        folder.display()
    );
    check_writable(folder)
}

/// The directory of a file.
fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Creates and removes a file: permissions alone do not show whether writing works (root, read-only
/// mounts, quotas).
fn check_writable(folder: &Path) -> Result<()> {
    let probe = folder.join(format!(".inkdrop-{}", std::process::id()));
    fs::write(&probe, b"").with_context(|| format!("cannot write into {}", folder.display()))?;
    Ok(fs::remove_file(&probe)?)
}
