//! Options of DDIM inversion.

use inkdrop::Pipeline;
use serde::Serialize;

#[derive(Debug, clap::Args, Serialize)]
pub struct InversionArgs {
    /// DDIM steps in each direction [default: 100, or all timesteps of the model if it has fewer]
    #[serde(skip)]
    #[arg(long)]
    steps: Option<usize>,
    /// Fixed-point iterations per inversion step: 0 is fast, 3 is close to exact
    #[arg(long, default_value_t = 3)]
    pub refine: usize,
}

impl InversionArgs {
    /// Sets the number of steps of a pipeline.
    pub fn apply(&self, pipeline: Pipeline) -> Pipeline {
        match self.steps {
            Some(steps) => pipeline.steps(steps),
            None => pipeline,
        }
    }
}

/// Number of steps of an inversion in a schedule of `levels` steps: the last level is reached at the
/// start of the first step.
pub fn inversion_steps(levels: usize) -> usize {
    levels - 1
}
