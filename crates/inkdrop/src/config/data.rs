//! The training data of a config.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use inkdrop_data::folder::{self, Folder, FolderConfig, FolderLabels, MEMORY_MIB, OpenFolder};
use inkdrop_data::layout::Layout;
use inkdrop_data::{
    InMemoryDataset, LabelledDataset, Labels, Note, PairsConfig, arrays, idx, npy, npz, sprites,
};
use serde::{Deserialize, Serialize};

use super::load_layout;
use crate::Result;
use crate::error::{bail, ensure};

/// A dataset.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum DataConfig {
    /// Generated sprites.
    Sprites {
        /// Seed of the generator.
        seed: u64,
        /// Number of sprites.
        count: usize,
    },
    /// NumPy files: images [N, H, W, C] in uint8, labels [N, K] or `[N]`.
    Npy {
        /// File of the images.
        images: PathBuf,
        /// File of the labels.
        labels: Option<PathBuf>,
        /// Names of the classes, in order.
        #[serde(default)]
        classes: Vec<String>,
        /// Memory limit in MiB: larger files are read image by image.
        #[serde(default = "default_memory")]
        memory_mib: u64,
    },
    /// A NumPy archive: images [N, H, W, C] in uint8 in arr_0, labels in arr_1; or ImageNet at 32 or
    /// 64 pixels as published.
    Npz {
        /// The archive, or a folder of ImageNet's.
        path: PathBuf,
        /// Names of the classes, in order.
        #[serde(default)]
        classes: Vec<String>,
    },
    /// A folder or archive of pictures, read as gray or RGB images to match the network. A folder of
    /// MNIST, CIFAR or ImageNet's npz files is found by its files.
    Folder(FolderConfig),
    /// A folder of arrays, one image per .npy, TIFF or PNG file: 8 or 16 bits, 1 to 16 channels, kept exactly.
    Arrays {
        /// The folder.
        path: PathBuf,
    },
    /// Pairs of pictures, for a network that is conditioned on a picture: two folders, or pictures that hold both
    /// side by side.
    Pairs(PairsConfig),
    /// CIFAR-10 or CIFAR-100, in the binary version or in Python's.
    Cifar {
        /// A file of records or a pickled batch, or the folder of data_batch_* or train.
        path: PathBuf,
    },
    /// IDX files such as MNIST, plain or gzip-compressed.
    Idx {
        /// File of the images.
        images: PathBuf,
        /// File of the labels.
        labels: Option<PathBuf>,
    },
    /// Data that a program gave ([`Training::data`](crate::Training::data)).
    Custom {},
}

/// A loaded dataset.
pub struct Loaded {
    /// Images and labels.
    pub data: LabelledDataset,
    /// Names of the classes, in order; empty if unnamed.
    pub classes: Vec<String>,
    /// What was left out, and what was amiss with files that were read.
    pub notes: Vec<Note>,
}

/// A loaded dataset, in memory.
pub struct LoadedInMemory {
    /// Images and labels.
    pub data: InMemoryDataset,
    /// Names of the classes, in order; empty if unnamed.
    pub classes: Vec<String>,
    /// What was left out, and what was amiss with files that were read.
    pub notes: Vec<Note>,
}

/// Largest number of sprites: 3.8 GB of memory.
pub const SPRITES: usize = 5_000_000;

impl DataConfig {
    /// The key of the path of a kind, for `--data`; `None` for generated data.
    pub fn path_key(kind: &str) -> Option<&'static str> {
        match kind {
            "sprites" | "custom" => None,
            "npy" | "idx" => Some("images"),
            _ => Some("path"),
        }
    }

    /// True if a source of labels is given.
    pub fn names_labels(&self) -> bool {
        match self {
            Self::Npy { labels, .. } | Self::Idx { labels, .. } => labels.is_some(),
            Self::Folder(config) => config.labels != FolderLabels::None,
            Self::Pairs(config) => config.labels != FolderLabels::None,
            _ => false,
        }
    }

    /// Loads or generates the images; large folders and NumPy files are streamed.
    ///
    /// - channels: channels of the network, for folders of pictures
    /// - paired: channels of paired pictures behind them
    pub fn load(&self, channels: i64, paired: i64) -> Result<Loaded> {
        let [channels, paired] = [channels, paired].map(|channels| channels.max(0) as usize);
        match self {
            Self::Npy { images, labels, classes, memory_mib } => {
                let data = npy::open(images, labels.as_deref(), *memory_mib)?;
                Ok(Loaded { data, classes: classes.clone(), notes: Vec::new() })
            }
            Self::Pairs(config) => {
                ensure!(
                    paired > 0,
                    "data.kind=pairs: the network takes no paired picture; set condition.kind=pair, or read a folder"
                );
                let OpenFolder { data, classes, notes } = config.open(channels, paired)?;
                Ok(Loaded { data, classes, notes })
            }
            Self::Arrays { path } => {
                let images = Arc::new(arrays::open(path)?);
                let data = LabelledDataset { images, labels: Labels::None };
                Ok(Loaded { data, classes: Vec::new(), notes: Vec::new() })
            }
            Self::Folder(config) if pickled(&config.path)?.is_none() => {
                let OpenFolder { data, classes, notes } = folder::open(config, channels)?;
                Ok(Loaded { data, classes, notes })
            }
            _ => {
                let LoadedInMemory { data, classes, notes } = self.load_in_memory(channels)?;
                Ok(Loaded { data: data.into(), classes, notes })
            }
        }
    }

    /// Loads or generates the images in memory, whatever their size.
    ///
    /// - channels: 1 or 3, for folders of pictures
    pub fn load_in_memory(&self, channels: usize) -> Result<LoadedInMemory> {
        let (data, classes) = match self {
            Self::Sprites { count, .. } if !(1..=SPRITES).contains(count) => {
                bail!("data.count {count}: expected 1 to {SPRITES} sprites")
            }
            Self::Sprites { seed, count } => {
                (sprites::dataset(*seed, *count), names(&sprites::CLASSES))
            }
            Self::Npy { images, labels, classes, .. } => {
                (npy::load(images, labels.as_deref())?, classes.clone())
            }
            Self::Npz { path, classes } => (npz::load(path)?, classes.clone()),
            Self::Folder(config) => {
                let Folder { dataset, classes, notes } = match pickled(&config.path)? {
                    Some(layout) => folder::fit(config, channels, &layout, load_layout(&layout)?)?,
                    None => folder::load(config, channels)?,
                };
                return Ok(LoadedInMemory { data: dataset, classes, notes });
            }
            Self::Cifar { path } => {
                load_layout(&pickled(path)?.unwrap_or_else(|| Layout::Cifar(path.clone())))?
            }
            Self::Idx { images, labels } => (idx::load(images, labels.as_deref())?, Vec::new()),
            Self::Arrays { .. } => bail!("data.kind=arrays: expected a set of images in memory"),
            Self::Pairs(_) => bail!("data.kind=pairs: expected one image each, not pairs"),
            Self::Custom {} => bail!(
                "data.kind=custom: a program gave these data: give them again with Training::data"
            ),
        };
        Ok(LoadedInMemory { data, classes, notes: Vec::new() })
    }
}

/// The pickles of CIFAR's Python version, if a path holds them.
fn pickled(path: &Path) -> Result<Option<Layout>> {
    let pickles = |layout: &Layout| matches!(layout, Layout::CifarPickles(_));
    Ok(Layout::detect(path)?.filter(pickles))
}

fn default_memory() -> u64 {
    MEMORY_MIB
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().copied().map(String::from).collect()
}
