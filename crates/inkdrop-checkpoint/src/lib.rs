//! Checkpoints: reads and writes model weights in common formats, with strict loading.
//!
//! | format | read | written |
//! |---|---|---|
//! | safetensors | [`StateDict::open`] | [`StateDict::save`] |
//! | `.pt`, `.pth`, `.bin` of torch.save, zip | [`StateDict::open`] | [`StateDict::save_torch`] |
//! | torch.save before PyTorch 1.6 | [`StateDict::open`] | |
//! | `.npz` | [`StateDict::open`] | |
//! | diffusers folder | [`DiffusersFolder::open`] | [`DiffusersFolder::write`] |
//!
//! The metadata of a file is JSON by name. Loading is strict: every key, shape and dtype must match.
//!
//! ```
//! use inkdrop_checkpoint::{StateDict, load};
//! use inkdrop_nn::{Conv, ConvConfig, Params};
//! use inkdrop_torch::tch::{Device, Kind};
//!
//! let mut params = Params::new(Kind::Float, Device::Cpu);
//! let conv = Conv::new(&mut params.root().sub("conv"), ConvConfig::same(3, 8, 3))?;
//!
//! let mut weights = StateDict::of(&params);
//! weights.set_metadata("model", &"a single convolution")?;
//! let path = std::env::temp_dir().join("inkdrop-doc.safetensors");
//! weights.save(&path)?;
//!
//! let read = StateDict::open(&path)?;
//! assert_eq!(read.metadata::<String>("model")?.as_deref(), Some("a single convolution"));
//! load(&params, &read, &[])?;
//! # std::fs::remove_file(path)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # PyTorch checkpoints
//!
//! A PyTorch checkpoint may contain several networks, and other values. Untrusted files are safe to
//! open: no code in them is executed, and memory is bounded by [`limits`].
//!
//! ```
//! use inkdrop_checkpoint::{Format, StateDict};
//!
//! // What torch.save({"model": …, "ema_model": …, "epoch": 3}, path) has written.
//! # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/training.pt").as_ref();
//! let file = StateDict::open(path)?;
//! assert_eq!(file.format(), Format::TorchZip);
//! assert_eq!(file.parts(), ["ema_model", "model"]);
//! assert!(file.skipped().contains(&"epoch".to_string()));
//!
//! let average = file.part(Some("ema_model"))?;
//! assert_eq!(average.get("conv.weight").unwrap().size(), [2, 1, 3, 3]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod archive;
mod assemble;
mod atomic;
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
mod reading;
mod safetensors;
mod save_torch;
mod source;
mod torch_legacy;
mod torch_zip;
mod weights;

pub use diffusers::DiffusersFolder;
pub use error::{CheckpointError, Mismatch};
pub use format::Format;
pub use load::{check, load, load_shared};
pub use weights::StateDict;
