//! Spacing of the noise levels of a sampling run, by name: timesteps of the process or a σ grid.

use std::fmt;
use std::str::FromStr;

use ndarray::Array1;

use crate::{NoiseLevel, SamplingSchedule, Schedule, ScheduleError, TimestepSpacing, sigmas};

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
    /// Even spacing in the time t = σ/(1 + σ) of rectified flow, down to 0; `flow20`, or `flow20:3` to
    /// shift it to t' = s·t/(1 + (s − 1)·t) (Esser et al. 2024, eq. 23).
    Flow {
        /// Number of sampling steps.
        steps: usize,
        /// s; > 0, 1 by default. Above 1 there are more steps at high noise.
        shift: f64,
    },
    /// Given noise levels σ, the largest first, within the range of the process; `sigmas:80,2.5,0.8`.
    Sigmas(Vec<f64>),
}

impl LevelSpacing {
    /// The sampling schedule with this spacing for a process with timesteps.
    ///
    /// # Errors
    /// No steps, more timesteps than the process has, or ρ outside its range.
    pub fn sampling_schedule(
        &self,
        schedule: &Schedule,
    ) -> Result<SamplingSchedule, ScheduleError> {
        if let Self::Timesteps(spacing) = self {
            let timesteps = spacing.timesteps(schedule.num_timesteps())?;
            return SamplingSchedule::from_timesteps(schedule, &timesteps);
        }
        let low = schedule.level(0).sigma();
        let high = schedule.level(schedule.num_timesteps() - 1).with_min_signal().sigma();
        SamplingSchedule::from_sigmas(schedule, self.sigmas(low, high)?)
    }

    /// The noise levels σ between two, the largest first, without a final 0.
    ///
    /// - low: > 0
    /// - high: > low; infinite for pure noise, of which grids in σ start at
    ///   [`NoiseLevel::MIN_ALPHA_CUMPROD`]
    ///
    /// # Errors
    /// A spacing of timesteps, no steps, or a number outside its range.
    pub fn sigmas(&self, low: f64, high: f64) -> Result<Array1<f64>, ScheduleError> {
        let start = NoiseLevel { alpha_cumprod: 0.0, timestep: 0.0 }.with_min_signal().sigma();
        let finite = high.min(start.max(low));
        match *self {
            Self::Timesteps(_) => Err(ScheduleError::NoTimesteps(self.to_string())),
            Self::Karras { steps, rho } => sigmas::karras(steps, low, finite, rho),
            Self::Exponential { steps } => sigmas::exponential(steps, low, finite),
            Self::PolyExponential { steps, rho } => {
                sigmas::polyexponential(steps, low, finite, rho)
            }
            Self::Vp { steps } => sigmas::vp(steps, 19.9, 0.1, 1e-3),
            Self::Flow { steps, shift } => sigmas::flow(steps, high, shift),
            Self::Sigmas(ref given) => sigmas::given(given, low, high),
        }
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
        } else if let Some(rest) = text.strip_prefix("flow") {
            let (steps, shift) = numbers(rest, 1.0)?;
            Ok(Self::Flow { steps, shift })
        } else if let Some(rest) = text.strip_prefix("vp") {
            Ok(Self::Vp { steps: plain(rest)? })
        } else if let Some(rest) = text.strip_prefix("sigmas:") {
            let level = |text: &str| text.trim().parse::<f64>().map_err(|_| unknown());
            Ok(Self::Sigmas(rest.split(',').map(level).collect::<Result<_, _>>()?))
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
            Self::Flow { steps, shift: 1.0 } => write!(f, "flow{steps}"),
            Self::Flow { steps, shift } => write!(f, "flow{steps}:{shift}"),
            Self::Sigmas(ref levels) => {
                let levels: Vec<String> = levels.iter().map(f64::to_string).collect();
                write!(f, "sigmas:{}", levels.join(","))
            }
        }
    }
}
