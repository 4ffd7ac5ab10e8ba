//! Timestep spacing: which of the T timesteps of a process a shorter run visits.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{ScheduleError, linspace};

/// A choice of timesteps out of a longer process (timestep spacing, respacing).
///
/// [`FromStr`] reads the text form and `Display` writes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum TimestepSpacing {
    /// Every timestep; the text is empty.
    All,
    /// Sections of near-equal size with a number of evenly spaced timesteps each, their first and
    /// last included (improved-diffusion); `50` or `10,15,20`, also `sections50`.
    Sections(Vec<usize>),
    /// Every k-th timestep from 0, with the smallest integer k that gives exactly this many
    /// (Song et al. 2020; `ddimN` of improved-diffusion); `ddim50`.
    Stride(usize),
    /// Timesteps T/n apart, counted back from the last one, which is always included
    /// (Lin et al. 2023, table 2); `trailing50`.
    ///
    /// Rounding is half to even. If n divides T these are the timesteps of the sprites notebook.
    Trailing(usize),
    /// Every ⌊T/n⌋-th timestep from `offset` (Lin et al. 2023, table 2);
    /// `leading50`, or `leading50+1` with an offset of 1.
    Leading {
        /// n, the number of timesteps.
        count: usize,
        /// The first timestep; 0 by default.
        #[serde(default)]
        offset: usize,
    },
    /// n evenly spaced timesteps from 0 to T − 1, both included, rounded half to even
    /// (Lin et al. 2023, table 2); a single one is 0. `linspace50`.
    Linspace(usize),
    /// n + 1 evenly spaced numbers from −1 to T − 1, rounded down, without the first
    /// (denoising-diffusion-pytorch, in f32 as there); `truncated50`.
    Truncated(usize),
    /// n timesteps whose square roots are evenly spaced from 0 to √(0.8·T), rounded down: dense near
    /// the data (Song et al. 2020, appendix D.3). n is at most 1 + √(0.8·T). `quadratic20`.
    Quadratic(usize),
    /// A list of timesteps, strictly increasing; `at:0,10,500`.
    Explicit(Vec<usize>),
}

impl TimestepSpacing {
    /// The timesteps to visit out of `0..steps`, strictly increasing.
    ///
    /// # Errors
    /// No timesteps, more than the process has, no integer stride that fits, or timesteps that lie
    /// outside the process, decrease or repeat.
    pub fn timesteps(&self, steps: usize) -> Result<Vec<usize>, ScheduleError> {
        match self {
            Self::All => Ok((0..steps).collect()),
            Self::Sections(counts) => sections(counts, steps),
            Self::Stride(count) => ddim_stride(*count, steps),
            Self::Trailing(count) => trailing(*count, steps),
            Self::Leading { count, offset } => leading(*count, *offset, steps),
            Self::Linspace(count) => even(*count, steps),
            Self::Truncated(count) => truncated(*count, steps),
            Self::Quadratic(count) => quadratic(*count, steps),
            Self::Explicit(timesteps) => {
                check_timestep_map(timesteps, steps).map(|()| timesteps.clone())
            }
        }
    }
}

/// Checks that timesteps exist, increase strictly and lie inside the process.
pub(crate) fn check_timestep_map(
    timesteps: &[usize],
    available: usize,
) -> Result<(), ScheduleError> {
    if timesteps.is_empty() {
        return Err(ScheduleError::StepCount { requested: 0, available });
    }
    for (position, &step) in timesteps.iter().enumerate() {
        if step >= available || (position > 0 && timesteps[position - 1] >= step) {
            return Err(ScheduleError::TimestepMap { position, timestep: step, available });
        }
    }
    Ok(())
}

fn sections(counts: &[usize], steps: usize) -> Result<Vec<usize>, ScheduleError> {
    if counts.is_empty() {
        return Err(ScheduleError::StepCount { requested: 0, available: steps });
    }
    let (size_each, extra) = (steps / counts.len(), steps % counts.len());
    let mut start = 0;
    let mut timesteps = Vec::new();
    for (section, &requested) in counts.iter().enumerate() {
        let size = size_each + usize::from(section < extra);
        if requested == 0 {
            return Err(ScheduleError::StepCount { requested, available: steps });
        }
        if size < requested {
            return Err(ScheduleError::Section { section, size, requested });
        }
        let stride = if requested == 1 { 1.0 } else { (size - 1) as f64 / (requested - 1) as f64 };
        let mut at = 0.0f64;
        for _ in 0..requested {
            // Half to even, as Python rounds: half away from zero timesteps other steps.
            timesteps.push(start + at.round_ties_even() as usize);
            at += stride;
        }
        start += size;
    }
    Ok(timesteps)
}

fn ddim_stride(count: usize, steps: usize) -> Result<Vec<usize>, ScheduleError> {
    check_count(count, steps)?;
    (1..steps)
        .find(|stride| steps.div_ceil(*stride) == count)
        .map(|stride| (0..steps).step_by(stride).collect())
        .ok_or(ScheduleError::NoStride { requested: count, available: steps })
}

fn trailing(count: usize, steps: usize) -> Result<Vec<usize>, ScheduleError> {
    check_count(count, steps)?;
    let stride = steps as f64 / count as f64;
    let timestep_back =
        |back: usize| (steps as f64 - back as f64 * stride).round_ties_even() as usize - 1;
    Ok((0..count).rev().map(timestep_back).collect())
}

fn leading(count: usize, offset: usize, steps: usize) -> Result<Vec<usize>, ScheduleError> {
    check_count(count, steps)?;
    let stride = steps / count;
    let last = ((count - 1) * stride).saturating_add(offset);
    if last >= steps {
        return Err(ScheduleError::Offset { offset, last, available: steps });
    }
    Ok((0..count).map(|i| i * stride + offset).collect())
}

fn even(count: usize, steps: usize) -> Result<Vec<usize>, ScheduleError> {
    check_count(count, steps)?;
    let at = linspace::linspace(0.0, (steps - 1) as f64, count);
    Ok((0..count).map(|i| at(i).round_ties_even() as usize).collect())
}

fn truncated(count: usize, steps: usize) -> Result<Vec<usize>, ScheduleError> {
    check_count(count, steps)?;
    // PyTorch's linspace, which counts from the nearer end.
    let (first, last) = (-1.0f32, (steps - 1) as f32);
    let stride = (last - first) / count as f32;
    let at = |i: usize| match i < count.div_ceil(2) {
        true => first + stride * i as f32,
        false => last - stride * (count - i) as f32,
    };
    Ok((1..=count).map(|i| at(i) as usize).collect())
}

fn quadratic(count: usize, steps: usize) -> Result<Vec<usize>, ScheduleError> {
    check_count(count, steps)?;
    let end = (steps as f64 * 0.8).sqrt();
    let root = linspace::linspace(0.0, end, count);
    let timesteps: Vec<usize> = (0..count).map(|i| root(i).powi(2) as usize).collect();
    // i²·d² rounded down differs from i to i + 1 exactly where d, the distance of roots, is 1 or more.
    if timesteps.windows(2).any(|pair| pair[0] == pair[1]) {
        let most = 1 + end as usize;
        return Err(ScheduleError::RepeatedTimesteps { requested: count, most, available: steps });
    }
    Ok(timesteps)
}

fn check_count(requested: usize, available: usize) -> Result<(), ScheduleError> {
    if requested == 0 || requested > available {
        return Err(ScheduleError::StepCount { requested, available });
    }
    Ok(())
}

impl FromStr for TimestepSpacing {
    type Err = ScheduleError;

    /// Reads `` (all), `50`, `10,15,20`, `sections10,15,20`, `ddim50`, `trailing50`, `leading50`,
    /// `leading50+1`, `linspace50`, `truncated50`, `quadratic20` or `at:0,10,500`.
    fn from_str(text: &str) -> Result<Self, ScheduleError> {
        let number = |digits: &str| {
            digits
                .trim()
                .parse::<usize>()
                .map_err(|_| ScheduleError::TimestepSpacing(text.to_string()))
        };
        let list = |text: &str| text.split(',').map(number).collect::<Result<Vec<_>, _>>();
        Ok(if text.is_empty() {
            Self::All
        } else if let Some(count) = text.strip_prefix("ddim") {
            Self::Stride(number(count)?)
        } else if let Some(count) = text.strip_prefix("trailing") {
            Self::Trailing(number(count)?)
        } else if let Some(rest) = text.strip_prefix("leading") {
            let (count, offset) = rest.split_once('+').unwrap_or((rest, "0"));
            Self::Leading { count: number(count)?, offset: number(offset)? }
        } else if let Some(count) = text.strip_prefix("linspace") {
            Self::Linspace(number(count)?)
        } else if let Some(count) = text.strip_prefix("truncated") {
            Self::Truncated(number(count)?)
        } else if let Some(count) = text.strip_prefix("quadratic") {
            Self::Quadratic(number(count)?)
        } else if let Some(steps) = text.strip_prefix("at:") {
            Self::Explicit(list(steps)?)
        } else {
            Self::Sections(list(text.strip_prefix("sections").unwrap_or(text))?)
        })
    }
}

/// The text that [`FromStr`] reads. Empty lists, which are invalid, have no text of their own.
impl fmt::Display for TimestepSpacing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => Ok(()),
            Self::Sections(counts) => list(f, counts),
            Self::Stride(count) => write!(f, "ddim{count}"),
            Self::Trailing(count) => write!(f, "trailing{count}"),
            Self::Leading { count, offset: 0 } => write!(f, "leading{count}"),
            Self::Leading { count, offset } => write!(f, "leading{count}+{offset}"),
            Self::Linspace(count) => write!(f, "linspace{count}"),
            Self::Truncated(count) => write!(f, "truncated{count}"),
            Self::Quadratic(count) => write!(f, "quadratic{count}"),
            Self::Explicit(steps) => {
                f.write_str("at:")?;
                list(f, steps)
            }
        }
    }
}

fn list(f: &mut fmt::Formatter<'_>, numbers: &[usize]) -> fmt::Result {
    for (i, number) in numbers.iter().enumerate() {
        let comma = if i > 0 { "," } else { "" };
        write!(f, "{comma}{number}")?;
    }
    Ok(())
}
