//! Whole trajectories with recorded noise.

use anyhow::{Context, Result, bail};
use inkdrop_nn::Conditioning;
use inkdrop_process::{Denoiser, Process, ProcessConfig};
use inkdrop_sampler::{Step, ddim, ddpm};
use inkdrop_schedule::{ScheduleConfig, Spacing};
use inkdrop_torch::NoiseTape;
use inkdrop_torch::tch::{Device, Kind, Tensor};
use inkdrop_unet::{ContextArguments, ModelConfig};
use serde::Deserialize;

use crate::report::Tolerance;
use crate::unet::network;
use crate::{Case, Row};

/// The notebook's sampling arguments.
#[derive(Debug, Deserialize)]
struct Arguments {
    timesteps: usize,
    beta1: f64,
    beta2: f64,
    method: String,
    #[serde(default)]
    n: usize,
    model: ContextArguments,
    sample_mid_index: usize,
}

pub(crate) fn check(case: &Case) -> Result<Vec<Row>> {
    let config: Arguments = case.config()?;
    let network = network(
        &ModelConfig::Context(config.model.config()),
        &case.weights.below("weight:"),
        Kind::Float,
    )?;
    let (steps, beta_start, beta_end) = (config.timesteps, config.beta1, config.beta2);
    let schedule = ScheduleConfig::Sprites { steps, beta_start, beta_end };
    let process =
        Process::new(&ProcessConfig { schedule, ..ProcessConfig::sprites() }, Device::Cpu)?;

    let x = case.tensor("x_T")?.shallow_clone();
    let conditioning = Conditioning {
        context: case.weights.get("context").map(Tensor::shallow_clone),
        ..Conditioning::none()
    };
    let mut states = Vec::new();
    let mut keep = |step: &Step| states.push(step.x.shallow_clone());
    let sample = match config.method.as_str() {
        "ddpm" => {
            let mut noise = NoiseTape::new(case.tensor("noise_tape")?.shallow_clone());
            let denoiser = Denoiser::new(&process, network.as_ref(), conditioning);
            ddpm(&denoiser, x, &mut noise, &mut keep)?
        }
        "ddim" => {
            let short = process.respaced(&Spacing::Trailing(config.n))?;
            ddim(&Denoiser::new(&short, network.as_ref(), conditioning), x, &mut keep)?
        }
        other => bail!("{}: unknown method `{other}`", case.name),
    };
    let state = |i: usize| states.get(i).with_context(|| format!("{}: no step {i}", case.name));
    let tolerance = Tolerance::Scaled(1e-4);
    Ok(vec![
        case.compare("sample_step_1", state(0)?, tolerance)?,
        case.compare("sample_mid", state(config.sample_mid_index)?, tolerance)?,
        case.compare("sample", &sample, tolerance)?,
    ])
}
