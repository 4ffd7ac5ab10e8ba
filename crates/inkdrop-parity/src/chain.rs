//! Sampling trajectories (DDPM, DDIM, DDIM inversion) with recorded noise.

use anyhow::{Context, Result};
use inkdrop_nn::{Conditioning, Network};
use inkdrop_process::{NetworkDenoiser, Process, ProcessConfig};
use inkdrop_sampler::{
    Ddim, DdimInversion, Ddpm, Inversion, SamplerError, SamplingRun, SamplingSteps, StepState,
};
use inkdrop_schedule::{NoiseLevel, TimestepSpacing};
use inkdrop_torch::tch::{Device, Kind, Tensor};
use inkdrop_unet::{ContextArguments, ModelConfig};
use serde::Deserialize;

use crate::improved::Improved;
use crate::report::Tolerance;
use crate::schedule::Sprites;
use crate::toy_network::{Form, toy_network};
use crate::unet::network;
use crate::{Case, Comparison};

/// Sampling arguments of the sprites notebook.
#[derive(Debug, Deserialize)]
struct Notebook {
    #[serde(flatten)]
    schedule: Sprites,
    method: Method,
    #[serde(default)]
    n: usize,
    model: ContextArguments,
    sample_mid_index: usize,
}

/// The sampler, or DDIM inversion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Method {
    Ddpm,
    Ddim,
    DdimReverse,
}

pub(crate) fn check_sprites(case: &Case) -> Result<Vec<Comparison>> {
    let config: Notebook = case.config()?;
    let network = network(
        &ModelConfig::Context(config.model.config()),
        &case.weights.below("weight:"),
        Kind::Float,
    )?;
    let schedule = config.schedule.config();
    let full = Process::new(&ProcessConfig { schedule, ..ProcessConfig::sprites() }, Device::Cpu)?;
    let process = match config.method {
        Method::Ddpm => full,
        Method::Ddim | Method::DdimReverse => {
            full.respaced(&TimestepSpacing::Trailing(config.n))?
        }
    };
    let conditioning = Conditioning {
        context: case.weights.get("context").map(Tensor::shallow_clone),
        ..Conditioning::none()
    };
    let chain = Chain { method: config.method, eta: 0.0, mid: config.sample_mid_index };
    chain.check(case, &process, network.as_ref(), conditioning)
}

/// Sampling arguments of improved-diffusion.
#[derive(Debug, Deserialize)]
struct Arguments {
    #[serde(flatten)]
    process: Improved,
    method: Method,
    #[serde(default)]
    eta: f64,
    sample_mid_index: usize,
}

pub(crate) fn check_improved(case: &Case) -> Result<Vec<Comparison>> {
    let config: Arguments = case.config()?;
    let network = toy_network(case, Form::Plain, Kind::Float)?;
    let process = config.process.process().with_context(|| case.name.clone())?;
    let chain = Chain { method: config.method, eta: config.eta, mid: config.sample_mid_index };
    chain.check(case, &process, &network, Conditioning::none())
}

/// Settings of a trajectory.
struct Chain {
    method: Method,
    eta: f64,
    mid: usize,
}

impl Chain {
    /// Compares the first, a middle and the last state, and the last predicted x0.
    fn check(
        &self,
        case: &Case,
        process: &Process,
        network: &dyn Network,
        conditioning: Conditioning,
    ) -> Result<Vec<Comparison>> {
        let denoiser = NetworkDenoiser::new(process, network, conditioning);
        let states = self.run(case, process, &denoiser)?;
        let state = |i: usize| states.get(i).with_context(|| format!("{}: no step {i}", case.name));
        let last = states.last().with_context(|| format!("{}: there are no steps", case.name))?;
        let tolerance = Tolerance::Scaled(1e-4);
        let mut rows = vec![
            case.compare("sample_step_1", &state(0)?.x, tolerance)?,
            case.compare("sample_mid", &state(self.mid)?.x, tolerance)?,
            case.compare("sample", &last.x, tolerance)?,
        ];
        if case.weights.get("pred_xstart_last").is_some() {
            rows.push(case.compare("pred_xstart_last", &last.x0, tolerance)?);
        }
        Ok(rows)
    }

    fn run(
        &self,
        case: &Case,
        process: &Process,
        denoiser: &NetworkDenoiser,
    ) -> Result<Vec<StepState>> {
        let (x, schedule) = (case.tensor("x_T")?.shallow_clone(), process.sampling_schedule()?);
        let noise = case.noise()?;
        match self.method {
            Method::Ddpm => collect(SamplingSteps::new(denoiser, Ddpm, &schedule, x, noise)),
            Method::Ddim => {
                let ddim = Ddim::new(self.eta)?;
                collect(SamplingSteps::new(denoiser, ddim, &schedule, x, noise))
            }
            Method::DdimReverse => {
                let total = process.config().schedule.num_timesteps();
                let end = NoiseLevel { alpha_cumprod: 0.0, timestep: total as f64 };
                let inversion = Inversion { end, refine: 0 };
                collect(DdimInversion::new(denoiser, &schedule, x, inversion)?)
            }
        }
    }
}

/// Collects the states after each step.
fn collect(run: impl SamplingRun) -> Result<Vec<StepState>> {
    Ok(run.collect::<Result<_, SamplerError>>()?)
}
