//! Model weights in and out: safetensors with the originals' keys, loaded strictly.
//!
//! A file says what it is in its metadata, as JSON by name; weights go in only
//! when every key, shape and kind fits.
//!
//! ```
//! use inkdrop_checkpoint::{Weights, load};
//! use inkdrop_nn::{Conv, ConvConfig, Params};
//! use inkdrop_torch::tch::{Device, Kind};
//!
//! let mut params = Params::new(Kind::Float, Device::Cpu);
//! let conv = Conv::new(&mut params.root().sub("conv"), ConvConfig::same(3, 8, 3))?;
//!
//! let mut weights = Weights::of(&params);
//! weights.set_metadata("model", &"a single convolution")?;
//! let path = std::env::temp_dir().join("inkdrop-doc.safetensors");
//! weights.save(&path)?;
//!
//! let read = Weights::open(&path)?;
//! assert_eq!(read.metadata::<String>("model")?.as_deref(), Some("a single convolution"));
//! load(&params, &read, &[])?;
//! # std::fs::remove_file(path)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod bytes;
mod error;
mod load;
mod weights;

pub use error::{CheckpointError, Mismatch};
pub use load::load;
pub use weights::Weights;
