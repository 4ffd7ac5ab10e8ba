//! Images and labels for diffusion training: a sprite generator, readers and writers. No torch.
//!
//! | module | answers |
//! |---|---|
//! | [`sprites`] | what sprite `index` of `seed` looks like: any number of 16 × 16 figures in five classes |
//! | [`npy`] | how a pair of numpy files becomes a [`Dataset`], or is read image by image, and back |
//! | [`npz`] | how samples are handed to evaluation scripts, and become a data set |
//! | [`folder`] | how a folder of PNG, JPEG and GIF files becomes one, or is streamed, with classes from names or sub-folders |
//! | [`cifar`], [`idx`] | how the files of CIFAR-10 and of MNIST become one |
//! | [`order`], [`batches`] | which items a step trains on, as a pure function of seed, step and rank |
//! | [`source`], [`loader`] | where images are, and how those of each step are read ahead on threads, flipped and cropped |
//! | [`picture`] | what images look like: grids with labels, PNG, GIF, APNG |
//! | [`read`] | how picture files of a user become images of the size that is needed |
//! | [`stream`] | how samples are written that memory does not hold, made in runs that may be killed |
//! | [`output`] | how a file appears under its name only once it is whole |
//!
//! Images are bytes, `[N, H, W, C]`. Everything a user can cause is a [`DataError`] that names
//! what was given and what was expected; writers never leave a broken file under its final name.
//!
//! ```
//! use inkdrop_data::batches::Batches;
//! use inkdrop_data::loader::{Loader, LoaderConfig};
//! use inkdrop_data::picture::{Grid, write_png};
//! use inkdrop_data::source::LabelledSource;
//! use inkdrop_data::sprites;
//!
//! # let folder = tempfile::tempdir().expect("a temporary folder");
//! # let path = folder.path().join("heroes.png");
//! let data = sprites::dataset(0, 100);
//! assert_eq!(data.context_width(), Some(5));
//!
//! // The first batch of a run with seed 42, some of it mirrored.
//! let source = LabelledSource::from(data);
//! let batches = Batches::new(source.images.len(), 8, 42)?;
//! let config = LoaderConfig { flip: true, workers: 2, ..LoaderConfig::default() };
//! let first = Loader::new(source.images, batches, config)?.batch(0)?;
//!
//! let picture = Grid::new().row("batch 0", first.images).scale(4).render();
//! write_png(&path, &picture)?;
//! # Ok::<(), inkdrop_data::DataError>(())
//! ```

pub mod batches;
pub mod cifar;
mod dataset;
mod error;
pub mod folder;
pub mod idx;
mod images;
pub mod loader;
pub mod npy;
pub mod npz;
pub mod order;
pub mod output;
pub mod picture;
pub mod read;
pub mod source;
pub mod sprites;
pub mod stream;

pub use dataset::{Dataset, Labels};
pub use error::DataError;
pub use images::Images;
