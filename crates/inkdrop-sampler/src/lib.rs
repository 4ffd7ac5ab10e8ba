#![doc = include_str!("../README.md")]

mod batches;
mod consistency;
mod ddim;
mod ddpm;
mod deis;
mod dpm_adaptive;
mod dpm_solver;
mod dpm_solver_2;
mod dpm_solver_2_ancestral;
mod dpm_solver_singlestep;
pub mod edit;
mod edm_euler;
mod error;
mod euler;
mod flow_heun;
mod general_ode;
mod guidance;
mod heun;
mod ipndm;
mod known_part;
mod likelihood;
mod lms;
mod pndm;
mod sa_solver;
mod sampler;
mod schedule_fit;
mod solver;
mod tcd;
mod unipc;

pub use batches::{Batch, BatchModel, BatchSteps, BoxedDenoiser, Rng, SampleBatches, SampleConfig};
pub use consistency::{Consistency, ConsistencySolver, consistency};
pub use ddim::{Ddim, DdimInversion, Inversion, ddim, ddim_inversion};
pub use ddpm::{Ddpm, ddpm};
pub use deis::{Deis, DeisSolver, deis};
pub use dpm_adaptive::{DpmAdaptive, DpmAdaptiveSolver, PidCoefficients, dpm_adaptive};
pub use dpm_solver::{DpmSolver, DpmSolverMultistep, SecondOrder, SolverVariable, dpm_solver};
pub use dpm_solver_2::{DpmSolver2, dpm_solver_2};
pub use dpm_solver_2_ancestral::{DpmSolver2Ancestral, dpm_solver_2_ancestral};
pub use dpm_solver_singlestep::{DpmSolverSinglestep, dpm_solver_singlestep};
pub use edm_euler::{EdmEuler, edm_euler};
pub use error::SamplerError;
pub use euler::{Euler, EulerAncestral, euler, euler_ancestral};
pub use flow_heun::{FlowHeun, flow_heun};
pub use general_ode::{GeneralOde, OdeMethod, OdeScaling, OdeSchedule, general_ode};
pub use guidance::{
    ClassifierFreeGuidance, ClassifierGuidance, ClipDenoised, DynamicThresholding,
    GuidanceInterval, GuidanceRule,
};
pub use heun::{Churn, Edm, Heun, edm, heun};
pub use ipndm::{Ipndm, ipndm};
pub use known_part::{KnownPart, WithKnownPart};
pub use likelihood::{FlowLikelihood, Trace};
pub use lms::{Lms, lms};
pub use pndm::{Plms, Pndm, plms, pndm};
pub use sa_solver::{SaSolver, SaSolverMultistep, Tau, TauRange, sa_solver};
pub use sampler::Sampler;
pub use schedule_fit::{ScheduleFit, total_distance};
pub use solver::{SamplingRun, SamplingSteps, ScheduledStep, Solver, SolverOutput, StepState};
pub use tcd::{Tcd, tcd};
pub use unipc::{UniPc, UniPcSolver, unipc};

#[doc(no_inline)]
pub use inkdrop_process::Denoiser;
