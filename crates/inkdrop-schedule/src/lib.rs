//! Noise schedules of diffusion models, as plain f64 arrays. No libtorch.
//!
//! A noise schedule gives β for each of T timesteps; all tables of the forward and the reverse process
//! follow from it (Ho et al. 2020). A sampling schedule is the sequence of noise levels that a sampler
//! visits.
//!
//! ```
//! use inkdrop_schedule::{PredictionType, ScheduleConfig, TimestepSpacing, loss_weights, sigmas};
//!
//! let schedule = ScheduleConfig::cosine(1000).build()?;
//! assert!(schedule.alphas_cumprod()[0] > 0.999 && schedule.alphas_cumprod()[999] < 1e-4);
//!
//! // The same process with 50 timesteps, as in DDIM.
//! let timesteps = "ddim50".parse::<TimestepSpacing>()?.timesteps(schedule.num_timesteps())?;
//! assert_eq!(timesteps[..3], [0, 20, 40]);
//! let short = schedule.respaced(&timesteps)?;
//! assert_eq!(short.num_timesteps(), 50);
//!
//! // Stable Diffusion's schedule, rescaled to zero terminal SNR.
//! let scaled = ScheduleConfig::ScaledLinear { steps: 1000, beta_start: 0.00085, beta_end: 0.012 };
//! let zero = ScheduleConfig::ZeroTerminalSnr { of: Box::new(scaled) }.build()?;
//! assert_eq!(zero.snr()[999], 0.0);
//!
//! // Its min-SNR loss weights for a network that predicts v.
//! let weights = loss_weights::min_snr(&zero, PredictionType::Velocity, 5.0)?;
//! assert!(weights.iter().all(|&weight| weight < 1.0));
//!
//! // Noise levels of Karras et al. 2022.
//! let sigmas = sigmas::karras(20, 0.002, 80.0, 7.0)?;
//! assert!(sigmas[0] == 80.0 && sigmas[10] < 2.5);
//! # Ok::<(), inkdrop_schedule::ScheduleError>(())
//! ```

mod betas;
mod error;
mod level_spacing;
mod linspace;
pub mod loss_weights;
mod noise_level;
mod prediction_type;
mod sampling_schedule;
mod schedule;
pub mod sigmas;
pub mod solver_coefficients;
mod timestep_spacing;

pub use betas::ScheduleConfig;
pub use error::ScheduleError;
pub use level_spacing::LevelSpacing;
pub use noise_level::NoiseLevel;
pub use prediction_type::PredictionType;
pub use sampling_schedule::{SamplingSchedule, SolverStep};
pub use schedule::Schedule;
pub use timestep_spacing::TimestepSpacing;
