//! What is to be done: the same file for every baseline.

use std::fs;
use std::path::{Path, PathBuf};

use inkdrop_checkpoint::StateDict;
use inkdrop_torch::tch::Tensor;
use serde::Deserialize;

use crate::Result;

/// What kind of work a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum What {
    /// One pass of a network over a batch.
    Forward,
    /// DDIM from noise to images.
    Sampling,
    /// Optimiser steps.
    Training,
    /// The tables of a noise schedule.
    Schedule,
}

/// One job. Fields that only PyTorch reads are left out.
#[derive(Debug, Deserialize)]
pub struct Job {
    /// What kind of work.
    pub what: What,
    /// A preset of the networks, or a schedule such as `linear_1000`.
    pub model: String,
    /// Side of the images, where it is not the preset's own.
    pub size: Option<i64>,
    /// Images at once.
    pub batch: i64,
    /// Steps of the sampler.
    pub steps: usize,
    /// The network's weights; drawn where there is no file.
    pub weights: Option<PathBuf>,
    /// x, t and what else goes in; drawn where there is no file.
    pub inputs: Option<PathBuf>,
    /// Where the outputs go, to be compared; nowhere if there is no file.
    pub output: Option<PathBuf>,
    /// Threads of each operation.
    pub threads: i32,
    /// Repetitions before any is timed.
    pub warm_up: usize,
    /// How many are timed at least; 0 for none.
    pub least: usize,
    /// For how many seconds they go on.
    pub seconds: f64,
    /// How often the work is done in one repetition.
    pub inner: u32,
}

impl Job {
    /// The job of a file.
    pub fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path)
            .map_err(|error| format!("cannot read the job {}: {error}", path.display()))?;
        let job: Self = serde_json::from_str(&text)
            .map_err(|error| format!("{} is no job: {error}", path.display()))?;
        if job.batch < 1 || job.steps < 1 || job.inner < 1 || job.threads < 1 {
            let Self { batch, steps, inner, threads, .. } = job;
            let given = format!("batch {batch}, steps {steps}, inner {inner}, threads {threads}");
            return Err(format!("given {given}, expected at least 1 of each").into());
        }
        Ok(job)
    }

    /// The inputs, if there is a file of them.
    pub fn inputs(&self) -> Result<Option<StateDict>> {
        Ok(self.inputs.as_deref().map(StateDict::open).transpose()?)
    }

    /// Writes the outputs where they are asked for.
    pub fn keep(&self, make: impl FnOnce() -> Result<Vec<(&'static str, Tensor)>>) -> Result<()> {
        let Some(path) = &self.output else { return Ok(()) };
        let mut weights = StateDict::default();
        for (name, tensor) in make()? {
            weights.insert(name, tensor.detach().contiguous());
        }
        Ok(weights.save(path)?)
    }
}

/// A tensor of a file of inputs.
pub fn named(inputs: &StateDict, name: &str) -> Result<Tensor> {
    let found = inputs.get(name).map(Tensor::shallow_clone);
    found.ok_or_else(|| format!("the inputs have no `{name}`: prepare them anew").into())
}
