#![doc = include_str!("../README.md")]

mod betas;
mod error;
mod level_spacing;
mod linspace;
pub mod loss_weights;
mod noise_distribution;
mod noise_level;
mod preconditioning;
mod prediction_type;
mod sampling_schedule;
mod schedule;
pub mod sigmas;
pub mod solver_coefficients;
mod timestep_spacing;

pub use betas::ScheduleConfig;
pub use error::{MAX_STEPS, ScheduleError};
pub use level_spacing::LevelSpacing;
pub use noise_distribution::NoiseDistribution;
pub use noise_level::{NoiseLevel, NoiseLevels};
pub use preconditioning::{
    BetaRange, FlowPath, Preconditioning, PreconditioningCoefs, iddpm_sigmas,
};
pub use prediction_type::PredictionType;
pub use sampling_schedule::{SamplingSchedule, SolverStep};
pub use schedule::Schedule;
pub use timestep_spacing::TimestepSpacing;
