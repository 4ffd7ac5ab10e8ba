//! Where the images of a run come from, and what they are called.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use inkdrop_data::LabelledDataset;
use inkdrop_data::folder::{self, FolderConfig, MEMORY_MIB, OpenFolder};
use inkdrop_data::{DataError, cifar, idx, npy, npz, sprites};
use serde::{Deserialize, Serialize};

/// Where the images come from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum DataConfig {
    /// Generated sprites.
    Sprites {
        /// Seed of the generator.
        seed: u64,
        /// How many.
        count: usize,
    },
    /// NumPy arrays: images [N, H, W, C] in uint8, labels [N, K] or `[N]`.
    Npy {
        /// The images' file.
        images: PathBuf,
        /// The labels' file.
        labels: Option<PathBuf>,
        /// Names of the classes, in order.
        #[serde(default)]
        classes: Vec<String>,
        /// Images that take more than this, in MiB, are read from the file when they are needed.
        #[serde(default = "usual_memory")]
        memory_mib: u64,
    },
    /// An archive of NumPy: arr_0 are images [N, H, W, C] in uint8, arr_1 their labels.
    Npz {
        /// The archive.
        path: PathBuf,
        /// Names of the classes, in order.
        #[serde(default)]
        classes: Vec<String>,
    },
    /// Pictures in a folder, gray or in colour as the network takes them.
    Folder(FolderConfig),
    /// CIFAR-10's binary version.
    Cifar {
        /// A file of records, or the folder of data_batch_*.bin.
        path: PathBuf,
    },
    /// IDX files as MNIST's, plain or of gzip.
    Idx {
        /// The images' file.
        images: PathBuf,
        /// The labels' file.
        labels: Option<PathBuf>,
    },
}

/// The images of a run.
pub struct Loaded {
    /// Images and labels.
    pub data: LabelledDataset,
    /// Names of the classes, in order; empty where there are none.
    pub classes: Vec<String>,
    /// What is wrong with files that were left out.
    pub skipped: Vec<DataError>,
}

/// The most sprites that are kept in memory: 3.8 GB.
pub const SPRITES: usize = 5_000_000;

impl DataConfig {
    /// The key of a kind that says where files lie, for `--data`; none where they are made.
    pub fn path_key(kind: &str) -> Option<&'static str> {
        match kind {
            "sprites" => None,
            "npy" | "idx" => Some("images"),
            _ => Some("path"),
        }
    }

    /// Reads or makes the images.
    ///
    /// - channels: how many the network takes, where the source leaves that open
    pub fn load(&self, channels: i64) -> Result<Loaded> {
        let (data, classes): (LabelledDataset, _) = match self {
            Self::Sprites { count, .. } if !(1..=SPRITES).contains(count) => {
                bail!("data.count {count}: expected 1 to {SPRITES} sprites")
            }
            Self::Sprites { seed, count } => {
                (sprites::dataset(*seed, *count).into(), names(&sprites::CLASSES))
            }
            Self::Npy { images, labels, classes, memory_mib } => {
                (npy::open(images, labels.as_deref(), *memory_mib)?, classes.clone())
            }
            Self::Npz { path, classes } => (npz::load(path)?.into(), classes.clone()),
            Self::Folder(config) => return folder(config, channels),
            Self::Cifar { path } => (cifar::load(path)?.into(), names(&cifar::CLASSES)),
            Self::Idx { images, labels } => {
                (idx::load(images, labels.as_deref())?.into(), Vec::new())
            }
        };
        Ok(Loaded { data, classes, skipped: Vec::new() })
    }
}

fn folder(config: &FolderConfig, channels: i64) -> Result<Loaded> {
    let channels = usize::try_from(channels).context("the network's channels")?;
    let OpenFolder { data, classes, skipped } = folder::open(config, channels)?;
    Ok(Loaded { data, classes, skipped })
}

fn usual_memory() -> u64 {
    MEMORY_MIB
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().copied().map(String::from).collect()
}
