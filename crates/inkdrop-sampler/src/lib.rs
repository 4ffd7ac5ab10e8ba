//! Samplers of diffusion models: solvers, guidance and image editing.
//!
//! A [`Solver`] takes one step; [`SamplingSteps`] iterates over the steps of a run, so callers stop,
//! report progress or draw previews in a plain loop. Every solver takes any [`Denoiser`].
//!
//! ```
//! use inkdrop_nn::Conditioning;
//! use inkdrop_process::{NetworkDenoiser, Process, ProcessConfig};
//! use inkdrop_sampler::{Heun, SamplingSteps};
//! use inkdrop_schedule::LevelSpacing;
//! use inkdrop_torch::{NoiseSource, PerImageNoise, tch::{Device, Kind}};
//! use inkdrop_unet::{ContextConfig, ModelConfig};
//!
//! let config = ModelConfig::Context(ContextConfig { features: 8, ..ContextConfig::sprites() });
//! let network = config.build(Kind::Float, Device::Cpu)?;
//! let process = Process::new(&ProcessConfig::sprites(), Device::Cpu)?;
//! let schedule = "karras5".parse::<LevelSpacing>()?.sampling_schedule(process.schedule())?;
//!
//! let mut noise = PerImageNoise::new(0, 0..2);
//! let x = noise.normal(&[2, 3, 16, 16], Device::Cpu)?;
//! let denoiser = NetworkDenoiser::new(&process, network.as_ref(), Conditioning::none());
//! for state in SamplingSteps::new(denoiser, Heun, &schedule, x, noise) {
//!     let state = state?;
//!     println!("step {}/{}, timestep {}", state.index + 1, state.count, state.timestep);
//!     assert_eq!(state.x.size(), [2, 3, 16, 16]);
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod batches;
mod ddim;
mod ddpm;
mod dpm_solver;
mod dpm_solver_2;
pub mod edit;
mod error;
mod euler;
mod guidance;
mod heun;
mod lms;
mod pndm;
mod sampler;
mod solver;
mod unipc;

pub use batches::{Batch, BatchModel, BatchSteps, BoxedDenoiser, Rng, SampleBatches, SampleConfig};
pub use ddim::{Ddim, DdimInversion, Inversion, ddim, ddim_inversion};
pub use ddpm::{Ddpm, ddpm};
pub use dpm_solver::{DpmSolver, DpmSolverMultistep, SecondOrder, SolverVariable, dpm_solver};
pub use dpm_solver_2::{DpmSolver2, dpm_solver_2};
pub use error::SamplerError;
pub use euler::{Euler, EulerAncestral, euler, euler_ancestral};
pub use guidance::{
    ClassifierFreeGuidance, ClassifierGuidance, ClipDenoised, DynamicThresholding, GuidanceInterval,
};
pub use heun::{Churn, Edm, Heun, edm, heun};
pub use lms::{Lms, lms};
pub use pndm::{Plms, Pndm, plms, pndm};
pub use sampler::Sampler;
pub use solver::{SamplingRun, SamplingSteps, ScheduledStep, Solver, SolverOutput, StepState};
pub use unipc::{UniPc, UniPcSolver, unipc};

#[doc(no_inline)]
pub use inkdrop_process::Denoiser;
