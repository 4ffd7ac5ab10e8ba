#![doc = include_str!("../README.md")]

mod archive;
pub mod arrays;
mod augmentation;
pub mod cifar;
mod contact_sheet;
mod dataset;
mod decode;
mod error;
mod files;
pub mod folder;
mod growth;
pub mod idx;
mod images;
mod item;
pub mod layout;
pub mod loader;
pub mod mask;
mod note;
pub mod npy;
pub mod npz;
pub mod output;
mod pairs;
mod parallel;
pub mod picture;
pub mod read;
mod resize;
pub mod sprites;
pub mod stream;

pub use dataset::{Dataset, InMemoryDataset, LabelledDataset, Labels};
pub use error::DataError;
pub use images::{Depth, ImageForm, Images, MOST_CHANNELS};
pub use note::{Note, Others};
pub use pairs::{ConditionSide, Paired, PairsConfig, SideBySide};
