//! Samplers: from noise to images.
//!
//! A sampler is a free function that walks any [`Predictor`] down the steps of
//! its process; a callback sees every step and does what it likes with it.
//!
//! ```
//! use inkdrop_nn::Conditioning;
//! use inkdrop_process::{Denoiser, Process, ProcessConfig};
//! use inkdrop_sampler::ddim;
//! use inkdrop_schedule::Spacing;
//! use inkdrop_torch::{NoiseSource, PerImageNoise, tch::{Device, Kind}};
//! use inkdrop_unet::{ContextConfig, ModelConfig};
//!
//! let config = ModelConfig::Context(ContextConfig { features: 8, ..ContextConfig::sprites() });
//! let network = config.build(Kind::Float, Device::Cpu)?;
//! let process = Process::new(&ProcessConfig::sprites(), Device::Cpu)?;
//! let short = process.respaced(&Spacing::Trailing(5))?;
//!
//! let x = PerImageNoise::new(0, 0..2).normal(&[2, 3, 16, 16], Device::Cpu)?;
//! let denoiser = Denoiser::new(&short, network.as_ref(), Conditioning::none());
//! let mut visited = Vec::new();
//! let images = ddim(&denoiser, x, &mut |step| visited.push(step.index))?;
//! assert_eq!(images.size(), [2, 3, 16, 16]);
//! assert_eq!(visited, [4, 3, 2, 1, 0]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod ancestral;
mod ddim;
mod dpm;
mod dpm2;
mod euler;
mod guidance;
mod heun;
mod lms;
mod pndm;
mod run;
mod sampler;
mod step;
mod unipc;

pub use ancestral::ddpm;
pub use ddim::{Inversion, ddim, ddim_inversion};
pub use dpm::{DpmSolver, Extrapolated, SecondOrder, dpm_solver};
pub use dpm2::dpm_solver_2;
pub use euler::{euler, euler_ancestral};
pub use guidance::{ClassifierGuided, Clipped, DynamicThreshold, Guided, Interval};
pub use heun::{Churn, edm, heun};
pub use lms::lms;
pub use pndm::{plms, pndm};
pub use run::{Batch, Rng, SampleConfig, sample};
pub use sampler::Sampler;
pub use step::{OnStep, SamplerError, Step};
pub use unipc::{UniPc, unipc};

#[doc(no_inline)]
pub use inkdrop_process::Predictor;
