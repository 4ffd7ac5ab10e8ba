//! Schedules that end in pure noise.

use ndarray::Array1;

use super::ScheduleConfig;
use crate::{Schedule, ScheduleError};

/// Lin et al. 2023, algorithm 1: √ᾱ shifted so that the last is 0, then scaled
/// so that the first is as it was.
pub(super) fn zero_terminal(of: &ScheduleConfig) -> Result<Schedule, ScheduleError> {
    match of {
        ScheduleConfig::ZeroTerminalSnr { .. } => return refuse("another zero-terminal-snr"),
        ScheduleConfig::Sprites { .. } => {
            return refuse("sprites, whose alpha-bar is not the product of its betas");
        }
        _ if of.steps() == 1 => {
            return refuse("a single step, which would have to be both as it was and 0");
        }
        _ => {}
    }
    let of = of.build()?;
    let roots = of.sqrt_alphas_cumprod();
    let (first, last) = (roots[0], roots[roots.len() - 1]);
    let bars = roots.mapv(|root| ((root - last) * (first / (first - last))).powi(2));
    Schedule::from_betas(Array1::from_shape_fn(bars.len(), |i| match i {
        0 => of.betas()[0],
        _ => 1.0 - bars[i] / bars[i - 1],
    }))
}

fn refuse(what: &'static str) -> Result<Schedule, ScheduleError> {
    Err(ScheduleError::ZeroTerminal(what))
}
