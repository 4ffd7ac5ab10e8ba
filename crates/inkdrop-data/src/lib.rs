//! Datasets, data loader and data augmentation for diffusion training; image readers and writers.
//! No torch.
//!
//! | module | purpose |
//! |---|---|
//! | [`Dataset`], [`LabelledDataset`], [`InMemoryDataset`] | images that are read by index, and their labels |
//! | [`loader`] | the data loader: shuffled batches, prefetch on worker threads, data augmentation |
//! | [`folder`] | datasets of PNG, JPEG and GIF files, in memory or streamed; classes from names or sub-folders |
//! | [`npy`], [`npz`], [`cifar`], [`idx`] | datasets in NumPy files, CIFAR-10 and MNIST |
//! | [`sprites`] | generated dataset: any number of 16 × 16 figures in five classes |
//! | [`picture`] | RGB pictures, contact sheets; PNG, GIF and APNG writers |
//! | [`read`] | decoding and resizing of picture files |
//! | [`stream`] | resumable writing of samples that do not fit in memory |
//! | [`output`] | atomic writing of files |
//!
//! Images are bytes, `[N, H, W, C]`. Invalid input is a [`DataError`] that names the given and the
//! expected value. Writers never leave an incomplete file under its final name.
//!
//! ```
//! use inkdrop_data::loader::{BatchSampler, DataLoader, DataLoaderConfig};
//! use inkdrop_data::picture::{Grid, write_png};
//! use inkdrop_data::{LabelledDataset, sprites};
//!
//! # let folder = tempfile::tempdir().expect("a temporary folder");
//! # let path = folder.path().join("heroes.png");
//! let data = sprites::dataset(0, 100);
//! assert_eq!(data.context_width(), Some(5));
//!
//! // The first batch of a run with seed 42, with random mirroring.
//! let source = LabelledDataset::from(data);
//! let batches = BatchSampler::new(source.images.len(), 8, 42)?;
//! let config = DataLoaderConfig { flip: true, workers: 2, ..DataLoaderConfig::default() };
//! let first = DataLoader::new(source.images, batches, config)?.batch(0)?;
//!
//! let picture = Grid::new().row("batch 0", first.images).scale(4).render();
//! write_png(&path, &picture)?;
//! # Ok::<(), inkdrop_data::DataError>(())
//! ```

mod augmentation;
pub mod cifar;
mod contact_sheet;
mod dataset;
mod decode;
mod error;
pub mod folder;
pub mod idx;
mod images;
pub mod loader;
pub mod npy;
pub mod npz;
pub mod output;
mod parallel;
pub mod picture;
pub mod read;
mod resize;
pub mod sprites;
pub mod stream;

pub use dataset::{Dataset, InMemoryDataset, LabelledDataset, Labels};
pub use error::DataError;
pub use images::Images;
