//! Consistency models: losses, noise levels and multistep sampling.

use anyhow::{Context, Result};
use inkdrop_nn::{Conditioning, Mode, TrainableNetwork};
use inkdrop_process::{
    ConsistencyBatch, ConsistencyGrid, ConsistencyMetric, ConsistencyMidTraining,
    ConsistencyTraining, ConsistencyTuning, ConsistencyWeighting, ContinuousConfig,
    ContinuousProcess, FnDenoiser, MeanFlow, MeanFlowBatch, Preconditioning, ProcessError,
    TrajectoryMetric,
};
use inkdrop_sampler::{Consistency, ConsistencySolver, SamplingSteps, StepState};
use inkdrop_schedule::{NoiseLevel, SamplingSchedule};
use inkdrop_torch::tch::{Device, Kind, Tensor, no_grad_guard};
use serde::Deserialize;

use crate::report::Tolerance;
use crate::toy_network::{Form, toy_network_of};
use crate::{Case, Comparison};

/// Relative to the largest value of each tensor.
const TOLERANCE: Tolerance = Tolerance::OfLargest(1e-4);

/// Arguments of locuslab/ect.
#[derive(Debug, Deserialize)]
struct TuningArguments {
    q: f64,
    k: f64,
    b: f64,
    #[serde(default)]
    c: f64,
    adj: Adjustment,
    #[serde(default)]
    stage: u32,
    #[serde(default)]
    stages: Vec<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Adjustment {
    Const,
    Sigmoid,
}

impl TuningArguments {
    fn tuning(&self, stage: u32) -> ConsistencyTuning {
        let k = if self.adj == Adjustment::Const { 0.0 } else { self.k };
        ConsistencyTuning { q: self.q, stage, stage_steps: None, k, b: self.b, c: self.c }
    }
}

/// A toy network under a preconditioning. Its linear layer receives ¼·ln σ.
struct Toy {
    network: Box<dyn TrainableNetwork>,
    process: ContinuousProcess,
}

impl Toy {
    /// - prefix: of the names of its weights
    /// - sigma_min: of the boundary form of the preconditioning; `None` for the plain one
    fn new(case: &Case, prefix: &str, sigma_min: Option<f64>, kind: Kind) -> Result<Self> {
        let sigma_data = 0.5;
        let preconditioning = match sigma_min {
            Some(sigma_min) => {
                Preconditioning::Consistency { sigma_data, sigma_min, time_scale: 1.0 }
            }
            None => Preconditioning::Edm { sigma_data },
        };
        let network = toy_network_of(case, prefix, Form::Residual, kind)?;
        let config = ContinuousConfig::new(preconditioning);
        let process = ContinuousProcess::new(&config, Device::Cpu)?;
        Ok(Self { network: Box::new(network), process })
    }

    fn denoise(&self, x: &Tensor, sigmas: &[f64]) -> Result<Tensor, ProcessError> {
        let (network, none) = (self.network.as_ref(), Conditioning::none());
        self.process.denoise_trained(network, x, sigmas, &none, Mode::Eval)
    }

    fn constant(&self, x: &Tensor, sigmas: &[f64]) -> Result<Tensor, ProcessError> {
        let _guard = no_grad_guard();
        self.denoise(x, sigmas)
    }

    /// Compares a loss, and the gradients of its mean.
    fn compare(&self, case: &Case, loss: &Tensor) -> Result<Vec<Comparison>> {
        let mut rows = vec![case.compare("loss", loss, TOLERANCE)?];
        loss.f_mean(loss.kind())?.f_backward()?;
        let ours = |key: &str| self.network.params().get(key).map(|param| param.tensor.grad());
        rows.extend(case.compare_group("grad:", TOLERANCE, |_| true, ours)?);
        Ok(rows)
    }
}

/// The rows of both precisions.
fn in_both(rows: impl Fn(Kind) -> Result<Vec<Comparison>>) -> Result<Vec<Comparison>> {
    let (mut all, double) = (rows(Kind::Float)?, rows(Kind::Double)?);
    all.extend(double.into_iter().map(|row| row.noted(" in f64")));
    Ok(all)
}

/// Noise levels t and r of a case, and its images and noise.
fn batch(case: &Case, kind: Kind) -> Result<([Tensor; 2], [Vec<f64>; 2])> {
    let tensor = |key: &str| -> Result<Tensor> { Ok(case.tensor(key)?.f_to_kind(kind)?) };
    Ok(([tensor("y")?, tensor("eps")?], [floats(case, "t")?, floats(case, "r")?]))
}

fn floats(case: &Case, key: &str) -> Result<Vec<f64>> {
    let values = case.tensor(key)?.f_to_kind(Kind::Double)?.f_flatten(0, -1)?;
    Ok(Vec::<f64>::try_from(&values)?)
}

/// Compares the loss of consistency tuning, and r.
pub(crate) fn check_tuning(case: &Case) -> Result<Vec<Comparison>> {
    let config: TuningArguments = case.config()?;
    let tuning = config.tuning(config.stage);
    in_both(|kind| {
        let student = Toy::new(case, "weight:", None, kind)?;
        let ([x0, noise], [sigmas, _]) = batch(case, kind)?;
        let targets: Vec<f64> = sigmas.iter().map(|&sigma| tuning.target(sigma)).collect();
        let batch = ConsistencyBatch { x0: &x0, noise: &noise, sigmas: &sigmas, targets: &targets };
        let (of, fixed) = (
            |x: &Tensor, sigmas: &[f64]| student.denoise(x, sigmas),
            |x: &Tensor, sigmas: &[f64]| student.constant(x, sigmas),
        );
        let loss = tuning.loss(batch, &of, &fixed)?;
        let levels = Tensor::from_slice(&targets).f_view_as(case.tensor("r")?)?;
        let mut rows = vec![case.compare("r", &levels, Tolerance::OfLargest(1e-6))?];
        rows.extend(student.compare(case, &loss)?);
        Ok(rows)
    })
}

/// Arguments of openai/consistency_models.
#[derive(Debug, Deserialize)]
struct GridArguments {
    num_scales: usize,
    sigma_min: f64,
    sigma_max: f64,
    rho: f64,
    sigma_data: f64,
    weight_schedule: String,
    loss_norm: String,
}

/// Compares the losses of consistency training and distillation, and t and r.
pub(crate) fn check_distance(case: &Case) -> Result<Vec<Comparison>> {
    let config: GridArguments = case.config()?;
    let metric = match config.loss_norm.as_str() {
        "l1" => ConsistencyMetric::L1,
        _ => ConsistencyMetric::L2,
    };
    let weighting = match config.weight_schedule.as_str() {
        "karras" => ConsistencyWeighting::Karras,
        _ => ConsistencyWeighting::Uniform,
    };
    let (levels, rho) = (config.num_scales, config.rho);
    let grid = ConsistencyGrid { levels, rho, metric, weighting, ..ConsistencyGrid::default() };
    let levels = grid.sigmas((config.sigma_min, config.sigma_max));
    let index = Vec::<i64>::try_from(case.tensor("n")?)?;
    let at = |offset: usize| -> Result<Vec<f64>> {
        let level = |n: &i64| levels.get(*n as usize + offset).copied();
        index.iter().map(|n| level(n).context("a level beyond the grid")).collect()
    };
    let (sigmas, targets) = (at(0)?, at(1)?);
    in_both(|kind| {
        let boundary = Some(config.sigma_min);
        let student = Toy::new(case, "weight:", boundary, kind)?;
        let target = Toy::new(case, "target:", boundary, kind)?;
        let teacher = match case.family.as_str() {
            "cd" => Some(Toy::new(case, "teacher:", None, kind)?),
            _ => None,
        };
        let ([x0, noise], _) = batch(case, kind)?;
        let batch = ConsistencyBatch { x0: &x0, noise: &noise, sigmas: &sigmas, targets: &targets };
        let of = |x: &Tensor, sigmas: &[f64]| student.denoise(x, sigmas);
        let fixed = |x: &Tensor, sigmas: &[f64]| target.constant(x, sigmas);
        let step =
            teacher.map(|teacher| move |x: &Tensor, sigmas: &[f64]| teacher.constant(x, sigmas));
        let step = step.as_ref().map(|step| step as inkdrop_process::Denoise<'_>);
        let loss = grid.loss(batch, config.sigma_data, (&of, &fixed), step)?;
        let row = |key: &str, levels: &[f64]| {
            case.compare(key, &Tensor::from_slice(levels), Tolerance::Relative(1e-6))
        };
        let mut rows = vec![row("t", &sigmas)?, row("r", &targets)?];
        rows.extend(student.compare(case, &loss)?);
        Ok(rows)
    })
}

/// Arguments of sony/cmt.
#[derive(Debug, Deserialize)]
struct MidTrainingArguments {
    #[serde(rename = "NFE")]
    steps: usize,
    loss_metric: String,
    t_min: f64,
    t_max: f64,
}

/// Compares the loss of consistency mid-training, and the teacher's trajectory.
pub(crate) fn check_mid_training(case: &Case) -> Result<Vec<Comparison>> {
    let config: MidTrainingArguments = case.config()?;
    let metric = match config.loss_metric.as_str() {
        "MSE" => TrajectoryMetric::SquaredNorm,
        _ => TrajectoryMetric::Norm,
    };
    let mid_training = ConsistencyMidTraining { steps: config.steps, metric, ..Default::default() };
    let range = (config.t_min, config.t_max);
    let sigmas = mid_training.sigmas(range);
    in_both(|kind| {
        let student = Toy::new(case, "weight:", None, kind)?;
        let teacher = Toy::new(case, "teacher:", None, kind)?;
        let tensor = |key: &str| -> Result<Tensor> { Ok(case.tensor(key)?.f_to_kind(kind)?) };
        let x = tensor("y")?.f_add(&tensor("eps")?.f_mul_scalar(config.t_max)?)?;
        let images = x.size()[0] as usize;
        let of = |x: &Tensor, sigmas: &[f64]| teacher.constant(x, sigmas);
        let (states, end) = mid_training.trajectory(&of, x, range)?;
        let mut losses = Vec::new();
        for (state, &sigma) in states.iter().zip(&sigmas) {
            let predicted = student.denoise(state, &vec![sigma; images])?;
            losses.push(mid_training.loss(&predicted, &end)?);
        }
        let times = Tensor::from_slice(&sigmas);
        let mut rows = vec![
            case.compare("t", &times, Tolerance::OfLargest(1e-6))?,
            case.compare("trajectory", &Tensor::f_stack(&states, 0)?, TOLERANCE)?,
            case.compare("target", &end, TOLERANCE)?,
        ];
        rows.extend(student.compare(case, &Tensor::f_cat(&losses, 0)?)?);
        Ok(rows)
    })
}

/// Arguments of Gsunshine/py-meanflow.
#[derive(Debug, Deserialize)]
#[allow(non_snake_case)] // the original's names
struct MeanFlowArguments {
    norm_p: f64,
    norm_eps: f64,
    ratio: f64,
    tr_sampler: String,
    P_mean_t: f64,
    P_std_t: f64,
    P_mean_r: f64,
    P_std_r: f64,
}

/// Compares the loss of MeanFlow with its terms, and t and r.
pub(crate) fn check_mean_flow(case: &Case) -> Result<Vec<Comparison>> {
    let config: MeanFlowArguments = case.config()?;
    let mean_flow = MeanFlow {
        ratio: config.ratio,
        mean_t: config.P_mean_t,
        std_t: config.P_std_t,
        mean_r: config.P_mean_r,
        std_r: config.P_std_r,
        sorted: config.tr_sampler == "v0",
        norm_p: config.norm_p,
        norm_eps: config.norm_eps,
    };
    let quantiles = |key: &str| -> Result<Vec<f64>> {
        let normal = case.tensor(key)?.f_to_kind(Kind::Double)?;
        let below = normal.f_mul_scalar(-0.5f64.sqrt())?.f_erfc()?.f_mul_scalar(0.5)?;
        Ok(Vec::<f64>::try_from(&below)?)
    };
    let (of_t, of_r) = (quantiles("normal_t")?, quantiles("normal_r")?);
    let uniform = floats(case, "uniform")?;
    let times = of_t.iter().zip(&of_r).zip(&uniform);
    let times = times.map(|((&t, &r), &uniform)| mean_flow.times([t, r, uniform]));
    let (times, ends): (Vec<f64>, Vec<f64>) = times.unzip();
    in_both(|kind| {
        let toy = Toy::new(case, "weight:", None, kind)?;
        let ([x0, noise], [t, _]) = batch(case, kind)?;
        let share = Tensor::f_from_slice(&t)?.f_to_kind(kind)?.f_view([-1, 1, 1, 1])?;
        let velocity = noise.f_sub(&x0)?;
        let z = x0.f_add(&velocity.f_mul(&share)?)?;
        let network = |z: &Tensor, t: &Tensor, h: &Tensor| {
            let interval = Some(h.shallow_clone());
            let conditioning = Conditioning { interval, ..Conditioning::none() };
            Ok(toy.network.forward_mode(z, t, &conditioning, Mode::Eval)?)
        };
        let points = MeanFlowBatch { z: &z, velocity: &velocity, times: &times, ends: &ends };
        let terms = mean_flow.terms(points, &network)?;
        let row = |key: &str, values: &[f64]| {
            case.compare(key, &Tensor::from_slice(values), Tolerance::OfLargest(1e-6))
        };
        let mut rows = vec![
            row("t", &times)?,
            row("r", &ends)?,
            case.compare("term:u", &terms.velocity, TOLERANCE)?,
            case.compare("term:dudt", &terms.derivative, TOLERANCE)?,
            case.compare("term:squared", &terms.squared, TOLERANCE)?,
        ];
        let mean = terms.loss.f_mean(terms.loss.kind())?.f_view([1])?;
        rows.extend(toy.compare(case, &mean)?);
        Ok(rows)
    })
}

/// Compares the noise levels of the targets of consistency tuning.
pub(crate) fn check_targets(case: &Case) -> Result<Vec<Comparison>> {
    let config: TuningArguments = case.config()?;
    let sigmas = floats(case, "t")?;
    let row = |stage: &u32| {
        let tuning = config.tuning(*stage);
        let targets: Vec<f64> = sigmas.iter().map(|&sigma| tuning.target(sigma)).collect();
        let key = format!("r_stage_{stage}");
        case.compare(&key, &Tensor::from_slice(&targets), Tolerance::Scaled(1e-13))
    };
    config.stages.iter().map(row).collect()
}

/// Arguments of the curriculum of openai/consistency_models.
#[derive(Debug, Deserialize)]
struct CurriculumArguments {
    num_scales: usize,
    sigma_min: f64,
    sigma_max: f64,
    rho: f64,
    start_scales: usize,
    end_scales: usize,
    start_ema: f64,
    total_training_steps: usize,
}

/// Compares a grid of noise levels, its growth in the course of a training, and the target's decay.
pub(crate) fn check_grid(case: &Case) -> Result<Vec<Comparison>> {
    let config: CurriculumArguments = case.config()?;
    let (first_levels, last_levels) = (config.start_scales, config.end_scales);
    let training = ConsistencyTraining {
        first_levels,
        last_levels,
        rho: config.rho,
        ..ConsistencyTraining::default()
    };
    let sigmas = training.grid(config.num_scales).sigmas((config.sigma_min, config.sigma_max));
    let (total, initial) = (config.total_training_steps, config.start_ema);
    let steps = Vec::<i64>::try_from(case.tensor("steps")?)?;
    let steps = || steps.iter().map(|&step| step as usize);
    let levels: Vec<i64> = steps().map(|step| training.levels(step, total) as i64).collect();
    let decays: Vec<f64> = steps().map(|k| training.target_decay(initial, k, total)).collect();
    Ok(vec![
        case.compare("sigmas", &Tensor::from_slice(&sigmas), Tolerance::Relative(1e-12))?,
        case.compare("scales", &Tensor::from_slice(&levels), Tolerance::Exact)?,
        case.compare("target_ema", &Tensor::from_slice(&decays), Tolerance::Relative(1e-12))?,
    ])
}

/// Arguments of multistep sampling: levels by their index in a grid, or by themselves.
#[derive(Debug, Deserialize)]
struct ChainArguments {
    sigma_min: f64,
    sample_mid_index: usize,
    #[serde(default)]
    clip_denoised: bool,
    #[serde(flatten)]
    levels: Levels,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Levels {
    Grid { ts: Vec<usize>, steps: usize, sigma_max: f64, rho: f64 },
    Given { t_max: f64, mid_t: Vec<f64> },
}

/// Compares multistep sampling with recorded noise.
pub(crate) fn check_chain(case: &Case) -> Result<Vec<Comparison>> {
    let config: ChainArguments = case.config()?;
    let toy = Toy::new(case, "weight:", Some(config.sigma_min), Kind::Float)?;
    let (sigmas, sampler) = match &config.levels {
        Levels::Grid { ts, steps, sigma_max, rho } => {
            let grid = ConsistencyTraining { rho: *rho, ..ConsistencyTraining::default() };
            let sigmas = grid.grid(*steps).sigmas((config.sigma_min, *sigma_max));
            // The last entry is where the chain ends.
            let visited = ts[..ts.len() - 1].iter().map(|&n| sigmas[n]).collect::<Vec<_>>();
            (visited, Consistency { sigma_min: config.sigma_min, noise_scale: 1.0 })
        }
        Levels::Given { t_max, mid_t } => {
            let visited = std::iter::once(t_max).chain(mid_t).copied().collect();
            (visited, Consistency::LCM)
        }
    };
    let ends = sigmas.iter().map(|&sigma| NoiseLevel::from_sigma(sigma, 0.0));
    let levels: Vec<NoiseLevel> = ends.chain([NoiseLevel::NOISELESS]).collect();
    let schedule = SamplingSchedule::from_levels(&levels)?;
    let denoiser = FnDenoiser::new(|x: &Tensor, sigma: f64| {
        let x0 = toy.constant(x, &[sigma])?;
        Ok(if config.clip_denoised { x0.f_clamp(-1.0, 1.0)? } else { x0 })
    });
    // The case's x is x0 + σ·ε.
    let x = case.tensor("x_T")?.f_mul_scalar(levels[0].signal())?;
    let steps = SamplingSteps::new(
        &denoiser,
        ConsistencySolver::new(sampler)?,
        &schedule,
        x,
        case.noise()?,
    );
    let states = steps.collect::<Result<Vec<StepState>, _>>()?;
    let state = |i: usize| -> Result<Tensor> {
        let state = states.get(i).with_context(|| format!("{}: no step {i}", case.name))?;
        Ok(state.x.f_div_scalar(levels[i + 1].signal())?)
    };
    let last = states.len() - 1;
    let sample = state(last)?;
    let sample = match config.levels {
        Levels::Grid { .. } => sample.f_clamp(-1.0, 1.0)?, // as the original does at the end
        Levels::Given { .. } => sample,
    };
    Ok(vec![
        case.compare("sample_step_1", &state(0)?, TOLERANCE)?,
        case.compare("sample_mid", &state(config.sample_mid_index)?, TOLERANCE)?,
        case.compare("sample", &sample, TOLERANCE)?,
        case.compare("pred_xstart_last", &states[last].x0, TOLERANCE)?,
    ])
}
