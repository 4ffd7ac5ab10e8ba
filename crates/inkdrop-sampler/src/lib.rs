//! Samplers: from noise to images.
//!
//! A sampler is a free function that walks any [`Predictor`] down a path of noise
//! levels; a callback sees every step and does what it likes with it.
//!
//! ```
//! use inkdrop_nn::Conditioning;
//! use inkdrop_process::{Denoiser, Process, ProcessConfig};
//! use inkdrop_sampler::heun;
//! use inkdrop_schedule::Levels;
//! use inkdrop_torch::{NoiseSource, PerImageNoise, tch::{Device, Kind}};
//! use inkdrop_unet::{ContextConfig, ModelConfig};
//!
//! let config = ModelConfig::Context(ContextConfig { features: 8, ..ContextConfig::sprites() });
//! let network = config.build(Kind::Float, Device::Cpu)?;
//! let process = Process::new(&ProcessConfig::sprites(), Device::Cpu)?;
//! let path = "karras5".parse::<Levels>()?.path(process.schedule())?;
//!
//! let x = PerImageNoise::new(0, 0..2).normal(&[2, 3, 16, 16], Device::Cpu)?;
//! let denoiser = Denoiser::new(&process, network.as_ref(), Conditioning::none());
//! let mut times = Vec::new();
//! let images = heun(&denoiser, &path, x, &mut |step| times.push(step.time))?;
//! assert_eq!(images.size(), [2, 3, 16, 16]);
//! assert!(times[0] == 499.0 && times.is_sorted_by(|a, b| a > b));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod ancestral;
mod ddim;
mod dpm;
mod dpm2;
pub mod edit;
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
pub use run::{Batch, BoxedPredictor, Rng, SampleConfig, Source, sample};
pub use sampler::Sampler;
pub use step::{OnStep, SamplerError, Step};
pub use unipc::{UniPc, unipc};

#[doc(no_inline)]
pub use inkdrop_process::Predictor;
