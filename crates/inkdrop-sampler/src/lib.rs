#![doc = include_str!("../README.md")]

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
mod likelihood;
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
pub use likelihood::{FlowLikelihood, Trace};
pub use lms::{Lms, lms};
pub use pndm::{Plms, Pndm, plms, pndm};
pub use sampler::Sampler;
pub use solver::{SamplingRun, SamplingSteps, ScheduledStep, Solver, SolverOutput, StepState};
pub use unipc::{UniPc, UniPcSolver, unipc};

#[doc(no_inline)]
pub use inkdrop_process::Denoiser;
