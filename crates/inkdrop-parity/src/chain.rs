//! Whole trajectories with recorded noise.

use anyhow::{Context, Result, bail};
use inkdrop_checkpoint::{Weights, load};
use inkdrop_nn::{Conditioning, Conv, ConvConfig, Linear, Mode, Network, NetworkError, Params};
use inkdrop_process::{Denoiser, Process, ProcessConfig, TimeInput, Variance};
use inkdrop_sampler::{Step, ddim, ddpm};
use inkdrop_schedule::{ScheduleConfig, Spacing};
use inkdrop_torch::NoiseTape;
use inkdrop_torch::tch::{Device, Kind, Tensor};
use inkdrop_unet::{ContextArguments, ModelConfig};
use serde::Deserialize;

use crate::report::{Status, Tolerance};
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

pub(crate) fn check_sprites(case: &Case) -> Result<Vec<Row>> {
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
    compare(case, &states, &sample, config.sample_mid_index)
}

/// The first, a middle and the last state.
fn compare(case: &Case, states: &[Tensor], sample: &Tensor, mid: usize) -> Result<Vec<Row>> {
    let state = |i: usize| states.get(i).with_context(|| format!("{}: no step {i}", case.name));
    let tolerance = Tolerance::Scaled(1e-4);
    Ok(vec![
        case.compare("sample_step_1", state(0)?, tolerance)?,
        case.compare("sample_mid", state(mid)?, tolerance)?,
        case.compare("sample", sample, tolerance)?,
    ])
}

/// improved-diffusion's sampling arguments.
#[derive(Debug, Deserialize)]
struct Improved {
    noise_schedule: String,
    diffusion_steps: usize,
    timestep_respacing: String,
    model_mean_type: String,
    model_var_type: String,
    method: String,
    #[serde(default)]
    eta: f64,
    clip_denoised: bool,
    rescale_timesteps: bool,
    sample_mid_index: usize,
}

impl Improved {
    /// The process, where it is one that is built already.
    fn process(&self) -> Option<ProcessConfig> {
        let walk = self.method == "ddpm" || (self.method == "ddim" && self.eta == 0.0);
        let variance = match self.model_var_type.as_str() {
            "fixed_small" => Variance::FixedSmall,
            "fixed_large" => Variance::FixedLarge,
            _ => return None,
        };
        let steps = self.diffusion_steps;
        let schedule = match self.noise_schedule.as_str() {
            "cosine" => ScheduleConfig::Cosine { steps },
            _ => ScheduleConfig::linear(steps),
        };
        let time = if self.rescale_timesteps { TimeInput::Rescaled } else { TimeInput::Index };
        let clip = self.clip_denoised;
        let process = ProcessConfig { schedule, time, variance, clip };
        (walk && self.model_mean_type == "epsilon").then_some(process)
    }
}

/// tanh(conv3×3(x) + linear(t/1000)).
struct StandIn {
    params: Params,
    conv: Conv,
    time: Linear,
}

impl StandIn {
    fn of(weights: &Weights) -> Result<Self> {
        let shape = weights.get("conv.weight").map(Tensor::size).unwrap_or_default();
        let [outputs, inputs, ..] = shape[..] else { bail!("the stand-in has no conv.weight") };
        let mut params = Params::new(Kind::Float, Device::Cpu);
        let mut root = params.root();
        let conv = Conv::new(&mut root.sub("conv"), ConvConfig::same(inputs, outputs, 3))?;
        let time = Linear::new(&mut root.sub("t"), 1, outputs)?;
        load(&params, weights, &[])?;
        Ok(Self { params, conv, time })
    }
}

impl Network for StandIn {
    fn forward(
        &self,
        x: &Tensor,
        t: &Tensor,
        _: &Conditioning,
        _: Mode,
    ) -> std::result::Result<Tensor, NetworkError> {
        let time = self.time.forward(&(t.to_kind(Kind::Float) / 1000.0).unsqueeze(-1))?;
        Ok((self.conv.forward(x)? + time.unsqueeze(-1).unsqueeze(-1)).tanh())
    }

    fn params(&self) -> &Params {
        &self.params
    }
}

pub(crate) fn check_improved(case: &Case) -> Result<Vec<Row>> {
    let config: Improved = case.config()?;
    let Some(process) = config.process() else {
        let what = format!("chain of improved, {}", config.method);
        return Ok(vec![case.row(what, Status::NotCovered)]);
    };
    let network = StandIn::of(&case.weights.below("weight:"))?;
    let spacing: Spacing = config.timestep_respacing.parse()?;
    let process = Process::new(&process, Device::Cpu)?.respaced(&spacing)?;
    let mut states = Vec::new();
    let mut keep = |step: &Step| states.push(step.x.shallow_clone());
    let denoiser = Denoiser::new(&process, &network, Conditioning::none());
    let x = case.tensor("x_T")?.shallow_clone();
    let sample = if config.method == "ddim" {
        ddim(&denoiser, x, &mut keep)?
    } else {
        let mut noise = NoiseTape::new(case.tensor("noise_tape")?.shallow_clone());
        ddpm(&denoiser, x, &mut noise, &mut keep)?
    };
    compare(case, &states, &sample, config.sample_mid_index)
}
