//! Which noise levels a run visits, by name.

use std::fmt;
use std::str::FromStr;

use ndarray::Array1;

use crate::{Path, Schedule, ScheduleError, Spacing, sigmas};

/// A choice of noise levels for a run: steps of the process, or levels between them.
///
/// Each has a text form, which [`FromStr`] reads and `Display` writes.
#[derive(Debug, Clone, PartialEq)]
pub enum Levels {
    /// Steps of the process; a [`Spacing`] in text.
    Steps(Spacing),
    /// Karras et al. 2022, eq. 5, over the process's own range; `karras20`, or `karras20:5` with
    /// another ρ than 7.
    Karras {
        /// n, the number of steps.
        steps: usize,
        /// ρ; > 0.
        rho: f64,
    },
    /// Evenly spaced in ln σ over the process's own range; `exponential20`.
    Exponential {
        /// n, the number of steps.
        steps: usize,
    },
    /// A power of even spacing in ln σ; `polyexponential20`, or `polyexponential20:2` with
    /// another ρ than 1.
    PolyExponential {
        /// n, the number of steps.
        steps: usize,
        /// ρ; > 0.
        rho: f64,
    },
    /// The variance-preserving process in continuous time, with β from 0.1 to 20 (Song et al.
    /// 2021), for processes trained with such a β: its σ runs from 152 to 0.01 whatever the
    /// process's own range, times beyond which are those of its ends; `vp20`.
    Vp {
        /// n, the number of steps.
        steps: usize,
    },
}

impl Levels {
    /// The path over a process.
    ///
    /// # Errors
    /// No steps, more than the process has where they are its steps, or a ρ that cannot be.
    pub fn path(&self, schedule: &Schedule) -> Result<Path, ScheduleError> {
        let low = schedule.level(0).sigma();
        let high = schedule.level(schedule.steps() - 1).with_signal().sigma();
        let levels: Array1<f64> = match *self {
            Self::Steps(ref spacing) => {
                return Path::of_steps(schedule, &spacing.picks(schedule.steps())?);
            }
            Self::Karras { steps, rho } => sigmas::karras(steps, low, high, rho)?,
            Self::Exponential { steps } => sigmas::exponential(steps, low, high)?,
            Self::PolyExponential { steps, rho } => sigmas::polyexponential(steps, low, high, rho)?,
            Self::Vp { steps } => sigmas::vp(steps, 19.9, 0.1, 1e-3)?,
        };
        Path::of_sigmas(schedule, levels)
    }
}

impl FromStr for Levels {
    type Err = ScheduleError;

    fn from_str(text: &str) -> Result<Self, ScheduleError> {
        let unknown = || ScheduleError::UnknownLevels(text.to_string());
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
            text.parse().map(Self::Steps).map_err(|_| unknown())
        }
    }
}

impl fmt::Display for Levels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Steps(ref spacing) => write!(f, "{spacing}"),
            Self::Karras { steps, rho: 7.0 } => write!(f, "karras{steps}"),
            Self::Karras { steps, rho } => write!(f, "karras{steps}:{rho}"),
            Self::Exponential { steps } => write!(f, "exponential{steps}"),
            Self::PolyExponential { steps, rho: 1.0 } => write!(f, "polyexponential{steps}"),
            Self::PolyExponential { steps, rho } => write!(f, "polyexponential{steps}:{rho}"),
            Self::Vp { steps } => write!(f, "vp{steps}"),
        }
    }
}
