//! Options of DDIM inversion.

use anyhow::Result;
use inkdrop_sampler::Inversion;
use inkdrop_schedule::{LevelSpacing, SamplingSchedule, TimestepSpacing};
use serde::Serialize;

use crate::model::metadata::ModelMetadata;

/// Default number of steps.
const STEPS: usize = 100;

#[derive(Debug, clap::Args, Serialize)]
pub struct InversionArgs {
    /// DDIM steps in each direction [default: 100, or all timesteps of the model if it has fewer]
    #[serde(skip)]
    #[arg(long)]
    steps: Option<usize>,
    /// Fixed-point iterations per inversion step: 0 is fast, 3 is close to exact
    #[arg(long, default_value_t = 3)]
    refine: usize,
}

impl InversionArgs {
    /// The noise levels and the schedule from noise to images.
    pub fn schedule(&self, metadata: &ModelMetadata) -> Result<(LevelSpacing, SamplingSchedule)> {
        let schedule = metadata.process.schedule.build()?;
        let levels = match self.steps.unwrap_or(STEPS.min(schedule.num_timesteps())) {
            steps if steps == schedule.num_timesteps() => {
                LevelSpacing::Timesteps(TimestepSpacing::All)
            }
            steps => LevelSpacing::Timesteps(TimestepSpacing::Trailing(steps)),
        };
        // Inversion divides by √ᾱ.
        let schedule = levels.sampling_schedule(&schedule)?.with_min_signal();
        Ok((levels, schedule))
    }

    /// The inversion back to the start of a schedule.
    pub fn inversion(&self, schedule: &SamplingSchedule) -> Inversion {
        Inversion { end: schedule.start(), refine: self.refine }
    }
}

/// Number of steps of an inversion: the last level is reached at the start of the first step.
pub fn inversion_steps(schedule: &SamplingSchedule) -> usize {
    schedule.len() - 1
}
