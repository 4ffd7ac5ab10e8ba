//! Which of the T steps a shorter run visits.

mod rules;
mod text;

use serde::{Deserialize, Serialize};

use crate::ScheduleError;

/// A choice of steps out of a longer process.
///
/// Each has a text form, which [`FromStr`](std::str::FromStr) reads and `Display` writes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Spacing {
    /// Every step; in text nothing.
    All,
    /// The process cut into sections of near-equal size, with so many steps
    /// from each, first and last included (improved-diffusion); `50`, `10,15,20`.
    Sections(Vec<usize>),
    /// Every k-th step from 0, with the first integer k that gives exactly this
    /// many (Song et al. 2020; "ddimN" of improved-diffusion); `ddim50`.
    Stride(usize),
    /// Steps T/n apart counted back from the last, which is always visited
    /// (Lin et al. 2023, table 2; the sprites notebook's where n divides T);
    /// `trailing50`.
    Trailing(usize),
    /// Every ⌊T/n⌋-th step from `offset` (Lin et al. 2023, table 2);
    /// `leading50`, or `leading50+1` with an offset of 1.
    Leading {
        /// n, the number of steps.
        count: usize,
        /// The first step; 0 if not given.
        #[serde(default)]
        offset: usize,
    },
    /// n steps from 0 to T − 1, both included, evenly spaced and rounded half to
    /// even (Lin et al. 2023, table 2); one alone is step 0. `linspace50`.
    Linspace(usize),
    /// n steps whose roots are evenly spaced from 0 to √(0.8·T), rounded down,
    /// so that they lie closer near the data (Song et al. 2020, appendix D.3);
    /// n is at most 1 + √(0.8·T). `quadratic20`.
    Quadratic(usize),
    /// These steps, strictly rising; `at:0,10,500`.
    Explicit(Vec<usize>),
}

impl Spacing {
    /// The steps of 0..steps to visit, strictly rising.
    ///
    /// # Errors
    /// More steps are asked for than there are, none, no integer stride fits,
    /// or steps would lie outside, fall or be visited twice.
    pub fn picks(&self, steps: usize) -> Result<Vec<usize>, ScheduleError> {
        match self {
            Self::All => Ok((0..steps).collect()),
            Self::Sections(counts) => rules::sections(counts, steps),
            Self::Stride(count) => rules::stride(*count, steps),
            Self::Trailing(count) => rules::trailing(*count, steps),
            Self::Leading { count, offset } => rules::leading(*count, *offset, steps),
            Self::Linspace(count) => rules::linspace(*count, steps),
            Self::Quadratic(count) => rules::quadratic(*count, steps),
            Self::Explicit(kept) => check_kept(kept, steps).map(|()| kept.clone()),
        }
    }
}

/// There is a step, and all rise strictly and lie inside.
pub(crate) fn check_kept(kept: &[usize], available: usize) -> Result<(), ScheduleError> {
    if kept.is_empty() {
        return Err(ScheduleError::StepCount { asked: 0, available });
    }
    for (position, &step) in kept.iter().enumerate() {
        if step >= available || (position > 0 && kept[position - 1] >= step) {
            return Err(ScheduleError::Kept { position, step, available });
        }
    }
    Ok(())
}
