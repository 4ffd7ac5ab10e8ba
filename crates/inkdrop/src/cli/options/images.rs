//! Image sets of the command line: generated sprites, arrays, folders, CIFAR-10 or IDX files.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Result, bail, ensure};
use inkdrop::data::InMemoryDataset;
use inkdrop::data::folder::{Broken, FolderConfig, FolderLabels, MEMORY_MIB};

use inkdrop::config::{DataConfig, LoadedInMemory, SPRITES};

/// Default seed and count of sprites; the built-in model was trained on another seed.
const USUAL: (u64, usize) = (1, 10_000);

/// The forms of an image set, for errors.
pub const FORMS: &str = "`sprites` or `sprites:SEED:COUNT`, a .npz or .npy file of uint8 images \
     [N, H, W, C], a directory of pictures, a .bin file of CIFAR-10 or its directory, or an IDX file";

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
        matches!(self, Self::Path(path) if path.is_dir() && !is_cifar(path))
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
                Some(config) => config.load_in_memory(channels)?,
                None => pictures(path, channels, size)?,
            },
        };
        for problem in loaded.skipped {
            eprintln!("left out: {problem}");
        }
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

/// Detects the kind of a path; `None` for a directory of pictures.
fn detect(path: &Path) -> Result<Option<DataConfig>> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    ensure!(path.exists(), "there is no {}: expected {FORMS}", path.display());
    let (given, classes) = (path.to_path_buf(), Vec::new());
    if path.is_dir() {
        return Ok(is_cifar(path).then_some(DataConfig::Cifar { path: given }));
    }
    Ok(Some(match name.rsplit_once('.').map(|(_, ending)| ending) {
        Some("npz") => DataConfig::Npz { path: given, classes },
        Some("npy") => DataConfig::Npy {
            labels: beside(path, ".npy", "_labels.npy"),
            images: given,
            classes,
            memory_mib: MEMORY_MIB,
        },
        Some("bin") => DataConfig::Cifar { path: given },
        Some("png") => bail!(
            "{} is one picture: expected a set of images, such as the output of `inkdrop sample --out x.npz` or `--out directory/`",
            path.display()
        ),
        _ if is_idx(path) => DataConfig::Idx {
            labels: beside(path, "images-idx3", "labels-idx1")
                .or_else(|| beside(path, "images.idx3", "labels.idx1")),
            images: given,
        },
        _ => bail!("{} is not a set of images: expected {FORMS}", path.display()),
    }))
}

/// Loads pictures with labels from sub-folders or from the name before `_`, if all have one.
fn pictures(path: &Path, channels: usize, size: Option<usize>) -> Result<LoadedInMemory> {
    let load = |labels| {
        let config = FolderConfig { labels, size, broken: Broken::Skip, ..FolderConfig::new(path) };
        DataConfig::Folder(config).load_in_memory(channels)
    };
    let labelled = [FolderLabels::Folder, FolderLabels::Prefix].into_iter().find_map(|labels| {
        let folder = load(labels).ok()?;
        (folder.classes.len() > 1).then_some(folder)
    });
    Ok(labelled.map_or_else(|| load(FolderLabels::None), Ok)?)
}

/// The file whose name has `other` in place of `part`, if it exists.
fn beside(path: &Path, part: &str, other: &str) -> Option<PathBuf> {
    let name = path.file_name()?.to_str()?;
    let beside = path.with_file_name(name.replace(part, other));
    (name.contains(part) && beside.is_file()).then_some(beside)
}

/// True for the directory of CIFAR-10's binary version.
fn is_cifar(folder: &Path) -> bool {
    folder.join("data_batch_1.bin").is_file()
}

/// True if a file has the magic number of IDX images or of gzip.
fn is_idx(path: &Path) -> bool {
    let mut start = [0; 4];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut start));
    read.is_ok() && (start == [0, 0, 8, 3] || start[..2] == [0x1f, 0x8b])
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
