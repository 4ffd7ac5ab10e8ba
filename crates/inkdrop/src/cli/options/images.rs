//! Image sets of the command line: generated sprites, arrays, pictures, CIFAR or IDX files.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Result, bail, ensure};
use inkdrop::data::folder::{Broken, FolderConfig, FolderLabels};
use inkdrop::data::layout::Layout;
use inkdrop::data::read::files as picture_files;
use inkdrop::data::{InMemoryDataset, Note};

use inkdrop::config::{DataConfig, LoadedInMemory, SPRITES, load_layout};

/// Default seed and count of sprites; the built-in model was trained on another seed.
const USUAL: (u64, usize) = (1, 10_000);

/// The forms of an image set, for errors.
pub const FORMS: &str = "`sprites` or `sprites:SEED:COUNT`, a .npz or .npy file of uint8 images \
     [N, H, W, C], a directory or a zip or tar archive of pictures, a .bin file of CIFAR or its directory, \
     or an IDX file or the directory of MNIST";

/// An image set of the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImageSet {
    /// Generated sprites.
    Sprites {
        /// Seed of the generator.
        seed: u64,
        /// Number of sprites.
        count: usize,
    },
    /// A file or a directory.
    Path(PathBuf),
}

impl FromStr for ImageSet {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some(rest) = text.strip_prefix("sprites") else { return Ok(Self::Path(text.into())) };
        let numbers = match rest.split(':').collect::<Vec<_>>().as_slice() {
            [""] => Some(USUAL),
            ["", seed, count] => seed.parse().ok().zip(count.parse().ok()),
            [first, ..] if !first.is_empty() => return Ok(Self::Path(text.into())),
            _ => None,
        };
        match numbers {
            Some((seed, count)) if (1..=SPRITES).contains(&count) => {
                Ok(Self::Sprites { seed, count })
            }
            _ => Err(format!("expected sprites:SEED:COUNT with 1 to {SPRITES} sprites")),
        }
    }
}

impl fmt::Display for ImageSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sprites { seed, count } => write!(f, "sprites:{seed}:{count}"),
            Self::Path(path) => write!(f, "{}", path.display()),
        }
    }
}

impl ImageSet {
    /// True for pictures, which are read with 1 or 3 channels as required.
    pub fn leaves_channels_open(&self) -> bool {
        let Self::Path(path) = self else { return false };
        Layout::detect(path).is_ok_and(|layout| layout.is_some_and(|layout| layout.is_pictures()))
    }

    /// Loads or generates the images, with labels if there are any.
    ///
    /// - channels: 1 or 3, for directories of pictures
    /// - size: side to which the pictures of a directory are resized; `None` if they have one size
    pub fn load(&self, channels: usize, size: Option<usize>) -> Result<Found> {
        let loaded = match self {
            Self::Sprites { seed, count } => {
                let sprites = DataConfig::Sprites { seed: *seed, count: *count };
                sprites.load_in_memory(channels)?
            }
            Self::Path(path) => match detect(path)? {
                layout if layout.is_pictures() => pictures(path, channels, size)?,
                layout => {
                    let (data, classes) = load_layout(&layout)?;
                    let kind = format!("{}, {} images", layout.describe(), data.len());
                    let found = Note::Found { path: path.clone(), kind };
                    // A file's ending says its kind; that of a directory is news.
                    let notes = if path.is_dir() { vec![found] } else { Vec::new() };
                    LoadedInMemory { data, classes, notes }
                }
            },
        };
        loaded.notes.iter().for_each(|note| eprintln!("{note}"));
        Ok(Found { data: loaded.data, classes: loaded.classes })
    }
}

/// Loaded images.
pub struct Found {
    /// Images and labels.
    pub data: InMemoryDataset,
    /// Names of the classes, in the order of their ids; empty if unnamed.
    pub classes: Vec<String>,
}

/// Detects the kind of a path.
fn detect(path: &Path) -> Result<Layout> {
    ensure!(path.exists(), "there is no {}: expected {FORMS}", path.display());
    if let Some(layout) = Layout::detect(path)? {
        return Ok(layout);
    }
    let ending = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    match &*ending {
        "png" | "jpg" | "jpeg" => bail!(
            "{} is one picture: expected a set of images, such as the output of `inkdrop sample --out x.npz` or `--out directory/`",
            path.display()
        ),
        _ => bail!("{} is not a set of images: expected {FORMS}", path.display()),
    }
}

/// Loads pictures with labels from sub-folders or from the name before `_`, if all have one. Sub-folders that are
/// no classes are noted.
fn pictures(path: &Path, channels: usize, size: Option<usize>) -> Result<LoadedInMemory> {
    let load = |labels| {
        let config = FolderConfig { labels, size, broken: Broken::Skip, ..FolderConfig::new(path) };
        DataConfig::Folder(config).load_in_memory(channels)
    };
    let mut problem = None;
    for labels in [FolderLabels::Folder, FolderLabels::Prefix] {
        match load(labels) {
            Ok(loaded) if loaded.classes.len() > 1 => return Ok(loaded),
            Ok(_) => {}
            Err(error) => drop(problem.get_or_insert(error)),
        }
    }
    if let Some(problem) = problem.filter(|_| has_folders(path)) {
        eprintln!("the pictures have no labels: {}", problem.report());
    }
    Ok(load(FolderLabels::None)?)
}

/// True if a folder has pictures in sub-folders.
fn has_folders(path: &Path) -> bool {
    let inner = |file: &PathBuf| file.parent() != Some(path);
    path.is_dir() && picture_files(&[path]).is_ok_and(|files| files.iter().any(inner))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sprites_have_a_seed_and_a_count() {
        let parsed = |text: &str| text.parse::<ImageSet>();
        assert_eq!(parsed("sprites"), Ok(ImageSet::Sprites { seed: 1, count: 10_000 }));
        assert_eq!(parsed("sprites:7:50"), Ok(ImageSet::Sprites { seed: 7, count: 50 }));
        for path in ["sprites.npz", "./sprites", "spritesheet/x:1"] {
            assert_eq!(parsed(path), Ok(ImageSet::Path(path.into())));
        }
        for wrong in ["sprites:7", "sprites:7:0", "sprites:-1:5", "sprites:1:2:3"] {
            assert!(parsed(wrong).is_err_and(|error| error.contains("sprites:SEED:COUNT")));
        }
    }
}
