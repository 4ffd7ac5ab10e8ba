//! Training steps: losses, weights and their exponential moving average.

use anyhow::{Result, ensure};
use inkdrop_checkpoint::StateDict;
use inkdrop_nn::{Conditioning, Mode, TrainableNetwork};
use inkdrop_process::{
    Objective, ObjectiveConfig, PredictionType, Process, ProcessConfig, TimeInput, Variance,
};
use inkdrop_torch::DefaultGenerator;
use inkdrop_torch::tch::{Device, Kind, Tensor};
use inkdrop_train::{Adam, AdamConfig, EmaDecay, EmaSet, MasterWeights};
use serde::Deserialize;
use serde_json::Value;

use crate::improved::schedule;
use crate::loss::objective;
use crate::report::{Status, Tolerance};
use crate::unet::{class_ids, model_config, network};
use crate::{Case, Comparison};

/// Seed of the golden networks.
const SEED: i64 = 27;

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
    #[serde(deserialize_with = "objective")]
    loss_type: ObjectiveConfig,
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
    let process = process(case, &config)?;
    let model = model_config(case, config.model.clone(), case.tensor("x_start")?)?;
    let mut weights = case.weights.below("weight:");
    if is_lost(case) {
        let network = network(&model, &weights, Kind::Float)?;
        // A step of Adam changes a weight by about lr, and weight decay by lr·decay.
        let steps = case.tensor("t")?.size()[0] as f64;
        let farthest = steps * config.lr * (2.0 + 10.0 * config.weight_decay);
        match draw(case, network.as_ref(), farthest)? {
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
            case.compare("curve", &curve, Tolerance::Relative(1e-4))?,
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
    let objective = Objective::new(process, &config.loss_type)?;
    let mut losses = Vec::new();
    for step in 0..case.tensor("t")?.size()[0] {
        let at = |name: &str| -> Result<Tensor> { Ok(case.tensor(name)?.f_get(step)?) };
        let (x0, t, noise) = (at("x_start")?, at("t")?, at("noise")?);
        let terms =
            objective.terms(network, (&x0, &t, &noise), &labels(case, step)?, Mode::Train)?;
        let loss = terms.loss.f_mean(Kind::Float)?;
        master.zero_grad()?;
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
    Ok(Conditioning::classes(class_ids(&y.f_get(step)?)?))
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

/// True if the recorded initial weights are the final ones: a `state_dict` that was exported while
/// in use.
fn is_lost(case: &Case) -> bool {
    let (before, after) = (case.weights.below("weight:"), case.weights.below("after:"));
    let mut pairs = after.iter().map(|(key, after)| before.get(key).map(|b| b.equal(after)));
    after.iter().next().is_some() && pairs.all(|same| same == Some(true))
}

/// Draws the initial weights as the exporter of the golden networks does, in the network's order:
/// N(0, 0.25/fan-in) for matrices and kernels, N(0, 0.01) for biases, N(1, 0.01) for norm scales.
///
/// Returns `None` if the training steps cannot lead from these weights to the final ones. Then
/// another exporter drew them.
///
/// - farthest: largest change of a weight over all steps
fn draw(case: &Case, network: &dyn TrainableNetwork, farthest: f64) -> Result<Option<StateDict>> {
    let _generator = DefaultGenerator::seeded(SEED);
    let mut start = StateDict::default();
    for param in network.params().trained() {
        let shape = param.tensor.size();
        let normal = Tensor::f_randn(&shape, (Kind::Float, network.params().device()))?;
        let fan_in: i64 = shape.iter().skip(1).product();
        let drawn = match (shape.len(), param.name.ends_with("bias")) {
            (1, true) => normal.f_mul_scalar(0.1)?,
            (1, false) => normal.f_mul_scalar(0.1)?.f_add_scalar(1.0)?,
            _ => normal.f_mul_scalar(0.5)?.f_div_scalar((fan_in as f64).sqrt())?,
        };
        let end = case.tensor(&format!("weight:{}", param.name))?;
        let moved = end.f_sub(&drawn)?.f_abs()?.f_max()?.f_double_value(&[])?;
        if moved > farthest {
            return Ok(None);
        }
        start.insert(param.name.clone(), drawn);
    }
    Ok(Some(start))
}
