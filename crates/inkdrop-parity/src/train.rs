//! Training steps: losses, weights and their exponential moving average.

use std::thread;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use inkdrop_checkpoint::StateDict;
use inkdrop_nn::{Conditioning, Mode, TrainableNetwork};
use inkdrop_process::{
    Objective, ObjectiveConfig, PredictionType, Process, ProcessConfig, TimeInput,
    TrainingObjective, Variance,
};
use inkdrop_torch::DefaultGenerator;
use inkdrop_torch::distributed::{GradientReducer, ProcessGroup, Store};
use inkdrop_torch::tch::{Device, Kind, Tensor};
use inkdrop_train::{Adam, AdamConfig, EmaDecay, EmaSet, MasterWeights};
use inkdrop_unet::ModelConfig;
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
    /// Images of a batch that several processes share.
    global_batch: Option<i64>,
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
    let build = || Run::new(&config, &model, &weights);
    let mut run = build()?;
    let batches = Batches::of(case)?;
    let losses = run.take_steps(&config, process, &batches, None)?;
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
    rows.extend(run.compare(case, "")?);
    if let Some(images) = config.global_batch {
        ensure!(batches.t.size()[1] == images, "{}: batches of {images} images", case.name);
        for processes in [2, 4] {
            rows.extend(several_processes(case, &config, processes, &batches, build)?);
        }
    }
    Ok(rows)
}

/// The batches of all steps.
struct Batches {
    /// [steps, B, C, H, W]
    x0: Tensor,
    /// [steps, B]
    t: Tensor,
    noise: Tensor,
    /// Class labels, [steps, B]; none for unconditional networks.
    y: Option<Tensor>,
}

impl Batches {
    fn of(case: &Case) -> Result<Self> {
        let tensor = |name: &str| Ok::<_, anyhow::Error>(case.tensor(name)?.shallow_clone());
        let y = case.weights.get("y").map(Tensor::shallow_clone);
        Ok(Self { x0: tensor("x_start")?, t: tensor("t")?, noise: tensor("noise")?, y })
    }

    /// The rows of each batch that a process takes.
    fn part(&self, rank: usize, processes: usize) -> Result<Self> {
        let size = self.t.size()[1] / processes as i64;
        let rows = |x: &Tensor| x.f_narrow(1, rank as i64 * size, size);
        let y = self.y.as_ref().map(rows).transpose()?;
        Ok(Self { x0: rows(&self.x0)?, t: rows(&self.t)?, noise: rows(&self.noise)?, y })
    }
}

/// A network in training, with its average.
struct Run {
    network: Box<dyn TrainableNetwork>,
    master: MasterWeights,
    ema: EmaSet,
}

impl Run {
    fn new(config: &Arguments, model: &ModelConfig, weights: &StateDict) -> Result<Self> {
        let [network, ema_network] = [(); 2].map(|()| network(model, weights, Kind::Float));
        let (network, ema_network) = (network?, ema_network?);
        let master = MasterWeights::new(network.params())?;
        let ema = EmaSet::new(ema_network, &master, &[EmaDecay::constant(config.ema_rate)])?;
        Ok(Self { network, master, ema })
    }

    /// Takes the recorded steps and returns the loss before each.
    ///
    /// - reducer: averages the gradients over several processes
    fn take_steps(
        &mut self,
        config: &Arguments,
        process: Process,
        batches: &Batches,
        reducer: Option<&GradientReducer>,
    ) -> Result<Tensor> {
        let (beta1, beta2) = config.betas;
        let adam = AdamConfig {
            betas: [beta1, beta2],
            eps: config.eps,
            weight_decay: config.weight_decay,
            ..AdamConfig::default()
        };
        let mut adam = Adam::new(&self.master, adam)?;
        let objective = Objective::new(process, &config.loss_type)?;
        let (steps, batch) = (batches.t.size()[0], batches.t.size()[1] as usize);
        let mut losses = Vec::new();
        for step in 0..steps {
            let at = |tensor: &Tensor| tensor.f_get(step);
            let (x0, t, noise) = (at(&batches.x0)?, at(&batches.t)?, at(&batches.noise)?);
            let labels = match &batches.y {
                Some(y) => Conditioning::classes(class_ids(&at(y)?)?),
                None => Conditioning::none(),
            };
            let network = self.network.as_ref();
            let terms = objective.terms(network, (&x0, &t, &noise), &labels, Mode::Train)?;
            let loss = terms.loss.f_mean(Kind::Float)?;
            self.master.zero_grad()?;
            reducer.map(GradientReducer::prepare_for_backward).transpose()?;
            loss.f_backward()?;
            adam.step(&self.master.gradients(1.0)?, config.lr)?;
            self.ema.update(&self.master, step as usize, batch)?;
            losses.push(loss.detach());
        }
        Ok(Tensor::f_stack(&losses, 0)?)
    }

    /// The weights and their average against the recorded ones.
    fn compare(&self, case: &Case, note: &str) -> Result<Vec<Comparison>> {
        let mut rows = Vec::new();
        for (prefix, network) in [("after:", self.network.as_ref()), ("ema:", self.ema.network())] {
            let value = |key: &str| network.params().get(key).map(|param| param.tensor.detach());
            let found = case.compare_group(prefix, Tolerance::Scaled(1e-4), |_| true, value)?;
            rows.extend(found.into_iter().map(|row| row.noted(note)));
        }
        Ok(rows)
    }
}

/// The same steps by several processes, each with its rows of the batch; threads stand for processes.
fn several_processes(
    case: &Case,
    config: &Arguments,
    processes: usize,
    batches: &Batches,
    build: impl Fn() -> Result<Run>,
) -> Result<Vec<Comparison>> {
    const HERE: &str = "127.0.0.1";
    let limit = Duration::from_secs(60);
    let store = Store::serve(HERE, 0, limit)?;
    let mut ranks = Vec::new();
    for rank in 0..processes {
        ranks.push((rank, build()?, process(case, config)?, batches.part(rank, processes)?));
    }
    let port = store.port();
    let train = |(rank, mut run, process, batches): (usize, Run, Process, Batches)| {
        let store = Store::connect(HERE, port, limit)?;
        let group = ProcessGroup::join(&store, rank, processes, HERE, limit)?;
        let trained: Vec<&Tensor> = run.network.params().trained().map(|p| &p.tensor).collect();
        let reducer = GradientReducer::new(&group, &trained, [1 << 16, 1 << 12])?;
        let mut losses = run.take_steps(config, process, &batches, Some(&reducer))?;
        group.all_reduce(&mut losses)?;
        Ok::<_, anyhow::Error>((losses.f_div_scalar(processes as f64)?, run))
    };
    let results: Vec<Result<(Tensor, Run)>> = thread::scope(|scope| {
        let train = &train;
        let threads: Vec<_> =
            ranks.into_iter().map(|rank| scope.spawn(move || train(rank))).collect();
        let ended = threads.into_iter().map(|thread| thread.join());
        ended.map(|end| end.unwrap_or_else(|_| bail!("a process panicked"))).collect()
    });
    let mut rows = Vec::new();
    for (rank, result) in results.into_iter().enumerate() {
        let (losses, run) = result?;
        let note = format!(", {rank} of {processes}"); // which process
        rows.push(case.compare("losses", &losses, Tolerance::Scaled(1e-5))?.noted(&note));
        rows.extend(run.compare(case, &note)?);
    }
    Ok(rows)
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
        consistency: None,
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
