//! Training steps: losses, weights and their exponential moving average.

mod start;

use anyhow::{Context, Result, ensure};
use inkdrop_nn::{ClassIds, Conditioning, Mode, TrainableNetwork};
use inkdrop_process::{Objective, PredictionType, Process, ProcessConfig, TimeInput, Variance};
use inkdrop_torch::tch::{Device, Kind, Tensor};
use inkdrop_train::{Adam, AdamConfig, EmaDecay, EmaSet, MasterWeights};
use inkdrop_unet::{ImageSize, ModelConfig};
use serde::Deserialize;
use serde_json::Value;

use crate::improved::schedule;
use crate::loss::Loss;
use crate::report::{Status, Tolerance};
use crate::unet::network;
use crate::{Case, Comparison};

/// Relative tolerance of the points of the loss curve.
const CURVE: f64 = 1e-4;

/// Training arguments of improved-diffusion.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    model: Value,
    optimizer: Kinds,
    lr: f64,
    #[serde(default)]
    weight_decay: f64,
    #[serde(default = "usual_betas")]
    betas: (f64, f64),
    #[serde(default = "usual_eps")]
    eps: f64,
    ema_rate: f64,
    noise_schedule: String,
    diffusion_steps: usize,
    loss_type: Loss,
    rescale_timesteps: bool,
    /// Number of steps that a point of the loss curve averages. If set, the curve is compared
    /// instead of the weights.
    window: Option<i64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kinds {
    Adam,
    Adamw,
}

fn usual_betas() -> (f64, f64) {
    (0.9, 0.999)
}

fn usual_eps() -> f64 {
    1e-8
}

pub(crate) fn check(case: &Case) -> Result<Vec<Comparison>> {
    let config: Arguments = case.config()?;
    let decays = config.optimizer == Kinds::Adamw || config.weight_decay == 0.0;
    ensure!(decays, "{}: Adam with a weight decay is not covered", case.name);
    let (process, model) = (process(case, &config)?, model(case, &config)?);
    let mut weights = case.weights.below("weight:");
    if start::is_lost(case) {
        let network = network(&model, &weights, Kind::Float)?;
        // A step of Adam changes a weight by about lr, and weight decay by lr·decay.
        let steps = case.tensor("t")?.size()[0] as f64;
        let farthest = steps * config.lr * (2.0 + 10.0 * config.weight_decay);
        match start::draw(case, network.as_ref(), farthest)? {
            Some(start) => weights = start,
            None => {
                let what = "train: initial weights unknown";
                return Ok(vec![case.row(what, Status::NotCovered)]);
            }
        }
    }
    let (network, ema_network) =
        (network(&model, &weights, Kind::Float)?, network(&model, &weights, Kind::Float)?);
    let master = MasterWeights::new(network.params())?;
    let mut ema = EmaSet::new(ema_network, &master, &[EmaDecay::constant(config.ema_rate)])?;
    let losses = steps(case, &config, &process, network.as_ref(), (master, &mut ema))?;
    let tolerance = Tolerance::Scaled(1e-4);
    if let Some(window) = config.window {
        let recorded = case.tensor("losses")?.size()[0];
        let first = losses.f_narrow(0, 0, recorded)?;
        let curve = losses.f_view([-1, window])?.f_mean_dim([1i64].as_slice(), false, None)?;
        return Ok(vec![
            case.compare("losses", &first, tolerance)?,
            case.compare("curve", &curve, Tolerance::Relative(CURVE))?,
        ]);
    }
    let mut rows = vec![case.compare("losses", &losses, tolerance)?];
    let of = |network: &dyn TrainableNetwork, key: &str| {
        network.params().get(key).map(|param| param.tensor.detach())
    };
    rows.extend(case.compare_group(
        "after:",
        tolerance,
        |_| true,
        |key| of(network.as_ref(), key),
    )?);
    rows.extend(case.compare_group("ema:", tolerance, |_| true, |key| of(ema.network(), key))?);
    Ok(rows)
}

/// Runs the recorded training steps and returns the loss before each.
fn steps(
    case: &Case,
    config: &Arguments,
    process: &Process,
    network: &dyn TrainableNetwork,
    (mut master, ema): (MasterWeights, &mut EmaSet),
) -> Result<Tensor> {
    let (beta1, beta2) = config.betas;
    let adam = AdamConfig {
        betas: [beta1, beta2],
        eps: config.eps,
        weight_decay: config.weight_decay,
        groups: Vec::new(),
    };
    let mut adam = Adam::new(&master, adam)?;
    let objective = Objective::new(process, &config.loss_type.config())?;
    let mut losses = Vec::new();
    for step in 0..case.tensor("t")?.size()[0] {
        let at = |name: &str| -> Result<Tensor> { Ok(case.tensor(name)?.f_get(step)?) };
        let (x0, t, noise) = (at("x_start")?, at("t")?, at("noise")?);
        let terms =
            objective.terms(network, (&x0, &t, &noise), &labels(case, step)?, Mode::Train)?;
        let loss = terms.loss.f_mean(Kind::Float)?;
        master.zero_grad();
        loss.f_backward()?;
        adam.step(&master.gradients(1.0)?, config.lr)?;
        ema.update(&master, step as usize)?;
        losses.push(loss.detach());
    }
    Ok(Tensor::f_stack(&losses, 0)?)
}

/// The class labels of a step, `y`; unconditional cases have none.
fn labels(case: &Case, step: i64) -> Result<Conditioning> {
    let Some(y) = case.weights.get("y") else { return Ok(Conditioning::none()) };
    let ids: Vec<i64> = Vec::try_from(y.f_get(step)?.f_to_kind(Kind::Int64)?)?;
    Ok(Conditioning::classes(ClassIds::new(&ids, Device::Cpu)?))
}

fn model(case: &Case, config: &Arguments) -> Result<ModelConfig> {
    let [.., height, width] = case.tensor("x_start")?.size()[..] else {
        anyhow::bail!("{}: expected x_start of shape [steps, B, C, H, W]", case.name)
    };
    let size = ImageSize { height, width };
    ModelConfig::from_arguments(&case.family, config.model.clone(), size)
        .with_context(|| case.name.clone())
}

fn process(case: &Case, config: &Arguments) -> Result<Process> {
    let outputs = config.model["out_channels"].as_i64();
    let learns = outputs == Some(2 * case.tensor("x_start")?.size()[2]);
    let config = ProcessConfig {
        schedule: schedule(&config.noise_schedule, config.diffusion_steps)?,
        time: if config.rescale_timesteps { TimeInput::Rescaled } else { TimeInput::Index },
        prediction: PredictionType::Epsilon,
        variance: if learns { Variance::LearnedRange } else { Variance::FixedLarge },
        clip: false,
    };
    Ok(Process::new(&config, Device::Cpu)?)
}
