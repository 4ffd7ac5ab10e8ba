//! The forward and the reverse diffusion process on tensors.
//!
//! A [`Process`] adds noise to training images ([`Process::q_sample`]), converts timesteps to the
//! network's unit, and converts the output of the network to a [`Prediction`] of x0 and ε.
//!
//! ```
//! use inkdrop_process::{ForwardNoise, Process, ProcessConfig};
//! use inkdrop_torch::tch::{Device, Kind, Tensor};
//!
//! let process = Process::new(&ProcessConfig::sprites(), Device::Cpu)?;
//! let x0 = Tensor::zeros([2, 3, 16, 16], (Kind::Float, Device::Cpu));
//! let noise = x0.randn_like();
//! let t = Tensor::from_slice(&[0i64, 499]); // the first and the last of 500 timesteps
//! let x = process.q_sample(&x0, &t, &noise, ForwardNoise::Standard)?;
//! assert!(x.get(1).std(false).double_value(&[]) > 20.0 * x.get(0).std(false).double_value(&[]));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod config;
mod denoiser;
mod error;
mod likelihood;
mod objective;
pub mod pixels;
mod prediction;
mod process;
mod tables;

pub use config::{ForwardNoise, ProcessConfig, TimeInput, Variance};
pub use denoiser::{Denoiser, FnDenoiser, NetworkDenoiser};
pub use error::ProcessError;
pub use inkdrop_schedule::PredictionType;
pub use likelihood::{BitsPerDim, BoundTerm, BoundTerms, bits_per_dim, prior_bits};
pub use objective::{LossTerms, LossType, Objective, ObjectiveConfig, Weighting};
pub use prediction::Prediction;
pub use process::Process;
