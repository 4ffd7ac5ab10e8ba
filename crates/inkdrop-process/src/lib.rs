//! The forward and the reverse process on tensors.
//!
//! A [`Process`] is a noise schedule put to work: it adds noise for training,
//! says in which units the network sees time, and turns what the network
//! predicts into an estimate of the image.
//!
//! ```
//! use inkdrop_process::{Noising, Process, ProcessConfig};
//! use inkdrop_torch::tch::{Device, Kind, Tensor};
//!
//! let process = Process::new(&ProcessConfig::sprites(), Device::Cpu)?;
//! let x0 = Tensor::zeros([2, 3, 16, 16], (Kind::Float, Device::Cpu));
//! let noise = x0.randn_like();
//! let t = Tensor::from_slice(&[0i64, 499]); // the first and the last of 500 steps
//! let x = process.q_sample(&x0, &t, &noise, Noising::Exact)?;
//! assert!(x.get(1).std(false).double_value(&[]) > 20.0 * x.get(0).std(false).double_value(&[]));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod config;
mod error;
mod likelihood;
mod objective;
pub mod pixels;
mod predict;
mod process;
mod tables;

pub use config::{Noising, ProcessConfig, TimeInput, Variance};
pub use error::ProcessError;
pub use inkdrop_schedule::MeanType;
pub use likelihood::{BitsPerDim, bits_per_dim, prior_bits};
pub use objective::{LossTerms, LossType, Objective, ObjectiveConfig, Weighting};
pub use predict::{Denoiser, Prediction, Predictor};
pub use process::Process;
