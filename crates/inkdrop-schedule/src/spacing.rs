//! Which of the T steps a shorter run visits.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::ScheduleError;

/// A choice of steps out of a longer process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Spacing {
    /// Every step.
    All,
    /// The process cut into sections of near-equal size, with so many steps
    /// from each, first and last included (improved-diffusion).
    Sections(Vec<usize>),
    /// Every k-th step from 0, with the first integer k that gives exactly this
    /// many (Song et al. 2020; "ddimN" of improved-diffusion).
    Stride(usize),
    /// Steps T/n apart counted back from the last, which is always visited
    /// (Lin et al. 2023, table 2; the sprites notebook's where n divides T).
    Trailing(usize),
}

impl Spacing {
    /// The steps of 0..steps to visit, rising.
    ///
    /// # Errors
    /// More steps are asked for than there are, none, or no integer stride fits.
    pub fn picks(&self, steps: usize) -> Result<Vec<usize>, ScheduleError> {
        match self {
            Self::All => Ok((0..steps).collect()),
            Self::Sections(counts) => sections(counts, steps),
            Self::Stride(count) => stride(*count, steps),
            Self::Trailing(count) => trailing(*count, steps),
        }
    }
}

impl FromStr for Spacing {
    type Err = ScheduleError;

    /// `` (all), `50`, `10,15,20`, `ddim50` or `trailing50`.
    fn from_str(text: &str) -> Result<Self, ScheduleError> {
        let count = |digits: &str| {
            digits.trim().parse::<usize>().map_err(|_| ScheduleError::Spacing(text.to_string()))
        };
        if text.is_empty() {
            Ok(Self::All)
        } else if let Some(digits) = text.strip_prefix("ddim") {
            Ok(Self::Stride(count(digits)?))
        } else if let Some(digits) = text.strip_prefix("trailing") {
            Ok(Self::Trailing(count(digits)?))
        } else {
            Ok(Self::Sections(text.split(',').map(count).collect::<Result<_, _>>()?))
        }
    }
}

fn sections(counts: &[usize], steps: usize) -> Result<Vec<usize>, ScheduleError> {
    if counts.is_empty() {
        return Err(ScheduleError::StepCount { asked: 0, available: steps });
    }
    let (size_each, extra) = (steps / counts.len(), steps % counts.len());
    let mut start = 0;
    let mut picks = Vec::new();
    for (section, &asked) in counts.iter().enumerate() {
        let size = size_each + usize::from(section < extra);
        if asked == 0 {
            return Err(ScheduleError::StepCount { asked, available: steps });
        }
        if size < asked {
            return Err(ScheduleError::Section { section, size, asked });
        }
        let stride = if asked == 1 { 1.0 } else { (size - 1) as f64 / (asked - 1) as f64 };
        let mut at = 0.0f64;
        for _ in 0..asked {
            // Half to even, as Python rounds: half away from zero picks other steps.
            picks.push(start + at.round_ties_even() as usize);
            at += stride;
        }
        start += size;
    }
    Ok(picks)
}

fn stride(count: usize, steps: usize) -> Result<Vec<usize>, ScheduleError> {
    check_count(count, steps)?;
    (1..steps)
        .find(|stride| steps.div_ceil(*stride) == count)
        .map(|stride| (0..steps).step_by(stride).collect())
        .ok_or(ScheduleError::NoStride { asked: count, available: steps })
}

fn trailing(count: usize, steps: usize) -> Result<Vec<usize>, ScheduleError> {
    check_count(count, steps)?;
    let stride = steps as f64 / count as f64;
    let pick = |back: usize| (steps as f64 - back as f64 * stride).round_ties_even() as usize - 1;
    Ok((0..count).rev().map(pick).collect())
}

fn check_count(asked: usize, available: usize) -> Result<(), ScheduleError> {
    if asked == 0 || asked > available {
        return Err(ScheduleError::StepCount { asked, available });
    }
    Ok(())
}
