//! Where samples go: a picture, an npz file or a folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, Result, ensure};
use inkdrop_data::picture::{Picture, write_png};
use inkdrop_data::{Images, npz};
use ndarray::{Array2, Array4, Axis, concatenate};

use crate::context::Row;
use crate::draw;

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

/// Images on their way out; a folder gets each batch at once.
pub struct Writer {
    output: Output,
    row: Row,
    batches: Vec<Images>,
    written: usize,
}

/// The most images that one picture shows.
const PICTURE: usize = 10_000;

/// The most images that one array holds: it is put together in memory.
const ARRAY: usize = 1_000_000;

impl Writer {
    /// Makes sure that `count` images can be written before any work is done; all are asked to be `row`.
    pub fn new(output: Output, row: Row, count: usize) -> Result<Self> {
        match &output {
            Output::Folder(path) => {
                fs::create_dir_all(path)
                    .with_context(|| format!("cannot make {}", path.display()))?;
                check_writable(path)?;
                if path.join("00000.png").exists() {
                    eprintln!(
                        "note: {} already holds samples; those of other numbers stay",
                        path.display()
                    );
                }
            }
            Output::Png(path) => {
                ensure!(
                    count <= PICTURE,
                    "{count} images in one picture: expected at most {PICTURE}; write more as x.npz or into a folder/"
                );
                check_place(path)?;
            }
            Output::Npz(path) => {
                ensure!(
                    count <= ARRAY,
                    "{count} images in one array: expected at most {ARRAY}; write more into a folder/"
                );
                check_place(path)?;
            }
        }
        Ok(Self { output, row, batches: Vec::new(), written: 0 })
    }

    /// Takes a batch.
    pub fn push(&mut self, images: Images) -> Result<()> {
        if let Output::Folder(path) = &self.output {
            for index in 0..images.len() {
                let name = format!("{:05}.png", self.written + index);
                write_png(path.join(name), &Picture::of_image(&images, index)?)?;
            }
            self.written += images.len();
        } else {
            self.batches.push(images);
        }
        Ok(())
    }

    /// Writes what is left; where it all went, in words.
    pub fn finish(self) -> Result<String> {
        match &self.output {
            Output::Folder(path) => {
                Ok(format!("{} in {}", counted(self.written, "PNG file"), path.display()))
            }
            Output::Png(path) => {
                let images = self.all()?;
                write_png(path, &draw::square(&images)?)?;
                Ok(format!("{} in {}", counted(images.len(), "image"), path.display()))
            }
            Output::Npz(path) => {
                let images = self.all()?;
                let labels = self.row.one_hot().map(|label| vec![label; images.len()]);
                let contexts = self.contexts(images.len());
                npz::write_samples(path, &images, labels.as_deref(), contexts.as_ref())?;
                Ok(format!("{} in {}", counted(images.len(), "image"), path.display()))
            }
        }
    }

    fn all(&self) -> Result<Images> {
        let views: Vec<_> = self.batches.iter().map(Images::view).collect();
        let all: Array4<u8> = concatenate(Axis(0), &views)?;
        Ok(Images::new(all)?)
    }

    /// The context rows, [N, K], where anything was asked.
    fn contexts(&self, count: usize) -> Option<Array2<f32>> {
        let row = &self.row.contexts;
        let asked = !row.is_empty() && !self.row.is_none();
        asked.then(|| Array2::from_shape_fn((count, row.len()), |(_, context)| row[context]))
    }
}

/// `1 image`, `2 images`.
fn counted(count: usize, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {what}{plural}")
}

/// Makes sure that a file can be written at a place, without touching one that is there.
pub fn check_place(path: &Path) -> Result<()> {
    ensure!(!path.is_dir(), "{} is a folder", path.display());
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    ensure!(
        folder.is_dir(),
        "cannot write {}: there is no folder {}",
        path.display(),
        folder.display()
    );
    check_writable(folder)
}

/// Makes and removes a file, since permissions alone do not tell (root, read-only mounts, quotas).
fn check_writable(folder: &Path) -> Result<()> {
    let probe = folder.join(format!(".inkdrop-{}", std::process::id()));
    fs::write(&probe, b"").with_context(|| format!("cannot write into {}", folder.display()))?;
    Ok(fs::remove_file(&probe)?)
}
