//! Spacing of the noise levels of a sampling run, by name: timesteps of the process or a σ grid.

use std::fmt;
use std::str::FromStr;

use ndarray::Array1;

use crate::{SamplingSchedule, Schedule, ScheduleError, TimestepSpacing, sigmas};

/// The spacing of noise levels in a sampling run: timesteps of the process, or a grid of σ.
///
/// [`FromStr`] reads the text form and `Display` writes it.
#[derive(Debug, Clone, PartialEq)]
pub enum LevelSpacing {
    /// Timesteps of the process; the text is that of a [`TimestepSpacing`].
    Timesteps(TimestepSpacing),
    /// Karras et al. 2022, eq. 5, from the largest to the smallest σ of the process; `karras20`, or
    /// `karras20:5` to set ρ, which is 7 by default.
    Karras {
        /// Number of sampling steps.
        steps: usize,
        /// ρ; > 0.
        rho: f64,
    },
    /// Even spacing in ln σ over the range of the process; `exponential20`.
    Exponential {
        /// Number of sampling steps.
        steps: usize,
    },
    /// Spacing in ln σ by a power ρ; `polyexponential20`, or `polyexponential20:2` to set ρ,
    /// which is 1 by default.
    PolyExponential {
        /// Number of sampling steps.
        steps: usize,
        /// ρ; > 0.
        rho: f64,
    },
    /// The continuous variance-preserving process with β from 0.1 to 20 (Song et al. 2021); `vp20`.
    ///
    /// σ always runs from 152 to 0.01. Outside the range of the process, the network receives the
    /// timestep of the nearer end.
    Vp {
        /// Number of sampling steps.
        steps: usize,
    },
}

impl LevelSpacing {
    /// The sampling schedule with this spacing for a process.
    ///
    /// # Errors
    /// No steps, more timesteps than the process has, or ρ outside its range.
    pub fn sampling_schedule(
        &self,
        schedule: &Schedule,
    ) -> Result<SamplingSchedule, ScheduleError> {
        let low = schedule.level(0).sigma();
        let high = schedule.level(schedule.num_timesteps() - 1).with_min_signal().sigma();
        let levels: Array1<f64> = match *self {
            Self::Timesteps(ref spacing) => {
                return SamplingSchedule::from_timesteps(
                    schedule,
                    &spacing.timesteps(schedule.num_timesteps())?,
                );
            }
            Self::Karras { steps, rho } => sigmas::karras(steps, low, high, rho)?,
            Self::Exponential { steps } => sigmas::exponential(steps, low, high)?,
            Self::PolyExponential { steps, rho } => sigmas::polyexponential(steps, low, high, rho)?,
            Self::Vp { steps } => sigmas::vp(steps, 19.9, 0.1, 1e-3)?,
        };
        SamplingSchedule::from_sigmas(schedule, levels)
    }
}

impl FromStr for LevelSpacing {
    type Err = ScheduleError;

    fn from_str(text: &str) -> Result<Self, ScheduleError> {
        let unknown = || ScheduleError::LevelSpacing(text.to_string());
        let numbers = |rest: &str, usual: f64| -> Result<(usize, f64), ScheduleError> {
            let (steps, rho) = rest.split_once(':').unwrap_or((rest, ""));
            let rho = if rho.is_empty() { usual } else { rho.parse().map_err(|_| unknown())? };
            Ok((steps.parse().map_err(|_| unknown())?, rho))
        };
        let plain = |rest: &str| rest.parse::<usize>().map_err(|_| unknown());
        if let Some(rest) = text.strip_prefix("karras") {
            let (steps, rho) = numbers(rest, 7.0)?;
            Ok(Self::Karras { steps, rho })
        } else if let Some(rest) = text.strip_prefix("polyexponential") {
            let (steps, rho) = numbers(rest, 1.0)?;
            Ok(Self::PolyExponential { steps, rho })
        } else if let Some(rest) = text.strip_prefix("exponential") {
            Ok(Self::Exponential { steps: plain(rest)? })
        } else if let Some(rest) = text.strip_prefix("vp") {
            Ok(Self::Vp { steps: plain(rest)? })
        } else {
            text.parse().map(Self::Timesteps).map_err(|_| unknown())
        }
    }
}

impl fmt::Display for LevelSpacing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Timesteps(ref spacing) => write!(f, "{spacing}"),
            Self::Karras { steps, rho: 7.0 } => write!(f, "karras{steps}"),
            Self::Karras { steps, rho } => write!(f, "karras{steps}:{rho}"),
            Self::Exponential { steps } => write!(f, "exponential{steps}"),
            Self::PolyExponential { steps, rho: 1.0 } => write!(f, "polyexponential{steps}"),
            Self::PolyExponential { steps, rho } => write!(f, "polyexponential{steps}:{rho}"),
            Self::Vp { steps } => write!(f, "vp{steps}"),
        }
    }
}
