//! Images and labels for diffusion training: a sprite generator, readers and writers. No torch.

mod dataset;
mod error;
pub mod output;
pub mod picture;
pub mod sprites;

pub use dataset::{Dataset, Images, Labels};
pub use error::DataError;
