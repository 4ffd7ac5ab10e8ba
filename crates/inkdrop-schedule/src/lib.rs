//! Noise schedules of diffusion models, as plain f64 arrays. No libtorch.
//!
//! A schedule says how much noise is in x at every step; everything that the
//! forward and the reverse process need is derived from it once, in f64.
//!
//! ```
//! use inkdrop_schedule::{MeanType, ScheduleConfig, Spacing, sigmas, weights};
//!
//! let schedule = ScheduleConfig::cosine(1000).build()?;
//! assert!(schedule.alphas_cumprod()[0] > 0.999 && schedule.alphas_cumprod()[999] < 1e-4);
//!
//! // The same process in 50 steps, as in DDIM.
//! let picks = "ddim50".parse::<Spacing>()?.picks(schedule.steps())?;
//! assert_eq!(picks[..3], [0, 20, 40]);
//! let short = schedule.respaced(&picks)?;
//! assert_eq!(short.steps(), 50);
//!
//! // Stable Diffusion's, made to end in pure noise.
//! let scaled = ScheduleConfig::ScaledLinear { steps: 1000, beta_start: 0.00085, beta_end: 0.012 };
//! let zero = ScheduleConfig::ZeroTerminalSnr { of: Box::new(scaled) }.build()?;
//! assert_eq!(zero.snr()[999], 0.0);
//!
//! // Its losses weighted by min(SNR, 5) for a network that predicts v.
//! let weights = weights::min_snr(&zero, MeanType::V, 5.0)?;
//! assert!(weights.iter().all(|&weight| weight < 1.0));
//!
//! // Noise levels for samplers that count in σ.
//! let sigmas = sigmas::karras(20, 0.002, 80.0, 7.0)?;
//! assert!(sigmas[0] == 80.0 && sigmas[10] < 2.5);
//! # Ok::<(), inkdrop_schedule::ScheduleError>(())
//! ```

mod betas;
mod error;
mod level;
mod levels;
mod linspace;
mod mean;
mod path;
pub mod sigmas;
pub mod solver;
mod spacing;
mod tables;
pub mod weights;

pub use betas::ScheduleConfig;
pub use error::ScheduleError;
pub use level::Level;
pub use levels::Levels;
pub use mean::MeanType;
pub use path::{Leg, Path};
pub use spacing::Spacing;
pub use tables::Schedule;
