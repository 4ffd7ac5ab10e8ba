#![doc = include_str!("../README.md")]

mod archive;
mod arrays;
mod assemble;
mod atomic;
mod constructor;
mod diffusers;
mod error;
mod flatten;
mod format;
#[doc(hidden)]
pub mod fuzzing;
mod kinds;
pub mod limits;
mod load;
mod npz;
mod parts;
mod pickle;
mod pickle_dump;
mod reading;
mod safetensors;
mod save_torch;
mod source;
mod torch_legacy;
mod torch_zip;
mod unnamed;
mod weights;

pub use constructor::Constructor;
pub use diffusers::DiffusersFolder;
pub use error::{CheckpointError, Mismatch};
pub use format::Format;
pub use load::{check, load, load_shared};
pub use weights::{StateDict, UnsupportedTensor};
