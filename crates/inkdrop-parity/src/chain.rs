//! Whole trajectories with recorded noise.

use anyhow::{Context, Result};
use inkdrop_nn::{Conditioning, Network};
use inkdrop_process::{Denoiser, Process, ProcessConfig};
use inkdrop_sampler::{Inversion, Step, ddim, ddim_inversion, ddpm};
use inkdrop_schedule::{Level, ScheduleConfig, Spacing};
use inkdrop_torch::NoiseTape;
use inkdrop_torch::tch::{Device, Kind, Tensor};
use inkdrop_unet::{ContextArguments, ModelConfig};
use serde::Deserialize;

use crate::improved::Improved;
use crate::report::Tolerance;
use crate::standin::{Form, StandIn};
use crate::unet::network;
use crate::{Case, Row};

/// The notebook's sampling arguments.
#[derive(Debug, Deserialize)]
struct Sprites {
    timesteps: usize,
    beta1: f64,
    beta2: f64,
    method: Method,
    #[serde(default)]
    n: usize,
    model: ContextArguments,
    sample_mid_index: usize,
}

/// How x gets from noise to an image, or back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Method {
    Ddpm,
    Ddim,
    DdimReverse,
}

pub(crate) fn check_sprites(case: &Case) -> Result<Vec<Row>> {
    let config: Sprites = case.config()?;
    let network = network(
        &ModelConfig::Context(config.model.config()),
        &case.weights.below("weight:"),
        Kind::Float,
    )?;
    let (steps, beta_start, beta_end) = (config.timesteps, config.beta1, config.beta2);
    let schedule = ScheduleConfig::Sprites { steps, beta_start, beta_end };
    let full = Process::new(&ProcessConfig { schedule, ..ProcessConfig::sprites() }, Device::Cpu)?;
    let process = match config.method {
        Method::Ddpm => full,
        Method::Ddim | Method::DdimReverse => full.respaced(&Spacing::Trailing(config.n))?,
    };
    let conditioning = Conditioning {
        context: case.weights.get("context").map(Tensor::shallow_clone),
        ..Conditioning::none()
    };
    let chain = Chain { method: config.method, eta: 0.0, mid: config.sample_mid_index };
    chain.check(case, &process, network.as_ref(), conditioning)
}

/// improved-diffusion's sampling arguments.
#[derive(Debug, Deserialize)]
struct Arguments {
    #[serde(flatten)]
    process: Improved,
    method: Method,
    #[serde(default)]
    eta: f64,
    sample_mid_index: usize,
}

pub(crate) fn check_improved(case: &Case) -> Result<Vec<Row>> {
    let config: Arguments = case.config()?;
    let network = StandIn::of(&case.weights.below("weight:"), Form::Plain, Kind::Float)?;
    let process = config.process.process().with_context(|| case.name.clone())?;
    let chain = Chain { method: config.method, eta: config.eta, mid: config.sample_mid_index };
    chain.check(case, &process, &network, Conditioning::none())
}

/// A trajectory to walk.
struct Chain {
    method: Method,
    eta: f64,
    mid: usize,
}

/// What a walk left behind.
struct Walked {
    states: Vec<Tensor>,
    last_x0: Option<Tensor>,
    sample: Tensor,
}

impl Chain {
    /// The first, a middle and the last state, and the last prediction of the image.
    fn check(
        &self,
        case: &Case,
        process: &Process,
        network: &dyn Network,
        conditioning: Conditioning,
    ) -> Result<Vec<Row>> {
        let denoiser = Denoiser::new(process, network, conditioning);
        let Walked { states, last_x0, sample } = self.walk(case, process, &denoiser)?;
        let state = |i: usize| states.get(i).with_context(|| format!("{}: no step {i}", case.name));
        let tolerance = Tolerance::Scaled(1e-4);
        let mut rows = vec![
            case.compare("sample_step_1", state(0)?, tolerance)?,
            case.compare("sample_mid", state(self.mid)?, tolerance)?,
            case.compare("sample", &sample, tolerance)?,
        ];
        if case.weights.get("pred_xstart_last").is_some() {
            let x0 = last_x0.with_context(|| format!("{}: no step was taken", case.name))?;
            rows.push(case.compare("pred_xstart_last", &x0, tolerance)?);
        }
        Ok(rows)
    }

    fn walk(&self, case: &Case, process: &Process, denoiser: &Denoiser) -> Result<Walked> {
        let (mut states, mut last_x0) = (Vec::new(), None);
        let mut keep = |step: &Step| {
            states.push(step.x.shallow_clone());
            last_x0 = Some(step.x0.shallow_clone());
        };
        let (x, path) = (case.tensor("x_T")?.shallow_clone(), process.path()?);
        let mut noise = case.noise()?;
        let sample = match self.method {
            Method::Ddpm => ddpm(denoiser, &path, x, &mut noise, &mut keep)?,
            Method::Ddim => ddim(denoiser, &path, x, self.eta, &mut noise, &mut keep)?,
            Method::DdimReverse => {
                let total = process.config().schedule.steps();
                let end = Level { alpha_cumprod: 0.0, time: total as f64 };
                let inversion = Inversion { end, refine: 0 };
                ddim_inversion(denoiser, &path, x, inversion, &mut keep)?
            }
        };
        Ok(Walked { states, last_x0, sample })
    }
}

impl Case {
    /// The recorded noise; none where the case has no tape.
    pub(crate) fn noise(&self) -> Result<NoiseTape> {
        let draws = match self.weights.get("noise_tape") {
            Some(draws) => draws.shallow_clone(),
            None => Tensor::f_zeros([0], (Kind::Float, Device::Cpu))?,
        };
        Ok(NoiseTape::new(draws))
    }
}
