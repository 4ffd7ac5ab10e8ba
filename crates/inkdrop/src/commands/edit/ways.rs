//! The way between images and their noise, in both directions.

use anyhow::Result;
use inkdrop_sampler::Inversion;
use inkdrop_schedule::{Levels, Path, Spacing};
use serde::Serialize;

use crate::model::card::Card;

/// Steps where none are asked for.
const STEPS: usize = 100;

#[derive(Debug, clap::Args, Serialize)]
pub struct Options {
    /// Steps of ddim, each way [default: 100, or all of the model if it has fewer]
    #[serde(skip)]
    #[arg(long)]
    steps: Option<usize>,
    /// How often each step to the noise is solved anew, so that ddim leads back to the image: 0 is
    /// fast, 3 is close, more comes closer
    #[arg(long, default_value_t = 3)]
    refine: usize,
}

impl Options {
    /// The levels of the way, from noise to images.
    pub fn path(&self, card: &Card) -> Result<(Levels, Path)> {
        let schedule = card.process.schedule.build()?;
        let levels = match self.steps.unwrap_or(STEPS.min(schedule.steps())) {
            steps if steps == schedule.steps() => Levels::Steps(Spacing::All),
            steps => Levels::Steps(Spacing::Trailing(steps)),
        };
        // The way back divides by the signal.
        let path = levels.path(&schedule)?.with_signal();
        Ok((levels, path))
    }

    /// The way back, to where the path starts.
    pub fn inversion(&self, path: &Path) -> Inversion {
        Inversion { end: path.start(), refine: self.refine }
    }
}

/// How many steps the way back reports: the last level is reached by the first step's start.
pub fn inversion_steps(path: &Path) -> usize {
    path.steps() - 1
}
