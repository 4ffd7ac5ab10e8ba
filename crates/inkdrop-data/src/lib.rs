//! Images and labels for diffusion training: a sprite generator, readers and writers. No torch.
//!
//! | module | answers |
//! |---|---|
//! | [`sprites`] | what sprite `index` of `seed` looks like: any number of 16 × 16 figures in five classes |
//! | [`npy`] | how a pair of numpy files becomes a [`InMemoryDataset`], or is read image by image, and back |
//! | [`npz`] | how samples are handed to evaluation scripts, and become a data set |
//! | [`folder`] | how a folder of PNG, JPEG and GIF files becomes one, or is streamed, with classes from names or sub-folders |
//! | [`cifar`], [`idx`] | how the files of CIFAR-10 and of MNIST become one |
//! | [`loader`] | the data loader: which images a step trains on, read ahead on threads, flipped and cropped |
//! | [`picture`] | what images look like: grids with labels, PNG, GIF, APNG |
//! | [`read`] | how picture files of a user become images of the size that is needed |
//! | [`stream`] | how samples are written that memory does not hold, made in runs that may be killed |
//! | [`output`] | how a file appears under its name only once it is whole |
//!
//! Images are bytes, `[N, H, W, C]`. Everything a user can cause is a [`DataError`] that names
//! what was given and what was expected; writers never leave a broken file under its final name.
//!
//! ```
//! use inkdrop_data::loader::BatchSampler;
//! use inkdrop_data::loader::{DataLoader, DataLoaderConfig};
//! use inkdrop_data::picture::{Grid, write_png};
//! use inkdrop_data::LabelledDataset;
//! use inkdrop_data::sprites;
//!
//! # let folder = tempfile::tempdir().expect("a temporary folder");
//! # let path = folder.path().join("heroes.png");
//! let data = sprites::dataset(0, 100);
//! assert_eq!(data.context_width(), Some(5));
//!
//! // The first batch of a run with seed 42, some of it mirrored.
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
mod dataset;
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
pub mod sprites;
pub mod stream;

pub use dataset::{Dataset, InMemoryDataset, LabelledDataset, Labels};
pub use error::DataError;
pub use images::Images;
