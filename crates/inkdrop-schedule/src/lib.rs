//! Noise schedules of diffusion models, as plain f64 arrays. No libtorch.
//!
//! A schedule says how much noise is in x at every step; everything that the
//! forward and the reverse process need is derived from it once, in f64.
//!
//! ```
//! use inkdrop_schedule::{ScheduleConfig, Spacing};
//!
//! let schedule = ScheduleConfig::Cosine { steps: 1000 }.build()?;
//! assert!(schedule.alphas_cumprod()[0] > 0.999 && schedule.alphas_cumprod()[999] < 1e-4);
//!
//! // The same process in 50 steps, as in DDIM.
//! let picks = "ddim50".parse::<Spacing>()?.picks(schedule.steps())?;
//! assert_eq!(picks[..3], [0, 20, 40]);
//! let short = schedule.respaced(&picks)?;
//! assert_eq!(short.steps(), 50);
//! # Ok::<(), inkdrop_schedule::ScheduleError>(())
//! ```

mod betas;
mod error;
mod level;
mod path;
mod spacing;
pub mod solver;
mod tables;

pub use betas::ScheduleConfig;
pub use error::ScheduleError;
pub use level::Level;
pub use path::{Leg, Path};
pub use spacing::Spacing;
pub use tables::Schedule;
