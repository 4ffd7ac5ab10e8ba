//! lucidrains' GaussianDiffusion: schedules, trajectories, losses, and the calls of its network with
//! classes.

use anyhow::{Context, Result, bail};
use inkdrop_nn::{Conditioning, Mode, Network, TrainableNetwork};
use inkdrop_process::{
    Denoiser, DiffusionProcess, NetworkDenoiser, Objective, ObjectiveConfig, PredictionType,
    Process, ProcessConfig, TimeInput, TrainingObjective, Variance, Weighting,
};
use inkdrop_sampler::{
    ClassifierFreeGuidance, ClipDenoised, Ddim, Ddpm, GuidanceRule, SamplerError, SamplingSteps,
    Solver, StepState,
};
use inkdrop_schedule::{LevelSpacing, Schedule, ScheduleConfig, TimestepSpacing, loss_weights};
use inkdrop_torch::tch::{Device, Kind, Tensor, no_grad_guard};
use serde::Deserialize;
use serde_json::Value;

use crate::recipe::{TrainingLoss, at};
use crate::report::{Distance, Status, Tolerance};
use crate::schedule::{summary, table, tensor};
use crate::toy_network::{Form, toy_network_of};
use crate::unet::{class_ids, model_config, network};
use crate::{Case, Comparison};

/// Arguments of GaussianDiffusion.
#[derive(Debug, Deserialize)]
struct Arguments {
    timesteps: usize,
    #[serde(default)]
    sampling_timesteps: Option<usize>,
    beta_schedule: String,
    objective: String,
    #[serde(default)]
    schedule_fn_kwargs: SigmoidArguments,
    #[serde(default)]
    min_snr_loss_weight: bool,
    #[serde(default = "five")]
    min_snr_gamma: f64,
    #[serde(default)]
    ddim_sampling_eta: f64,
    #[serde(default)]
    offset_noise_strength: f64,
    /// The network's arguments; the stand-in network without them.
    #[serde(default)]
    model: Option<Value>,
    #[serde(default)]
    call: Option<Call>,
    #[serde(default)]
    method: Option<Method>,
    #[serde(default)]
    sample_mid_index: usize,
    #[serde(default)]
    sample_range: String,
    /// A loss with self-conditioning.
    #[serde(default)]
    self_cond: bool,
}

fn five() -> f64 {
    5.0
}

#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct SigmoidArguments {
    start: f64,
    end: f64,
    tau: f64,
}

impl Default for SigmoidArguments {
    fn default() -> Self {
        Self { start: -3.0, end: 3.0, tau: 1.0 }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Method {
    Ancestral,
    Ddim,
}

/// Arguments of a call of the network with classes.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
struct Call {
    /// 0: classes are kept; 1: all are dropped.
    cond_drop_prob: Option<f64>,
    cond_scale: Option<f64>,
    #[serde(default)]
    rescaled_phi: f64,
    #[serde(default = "yes")]
    remove_parallel_component: bool,
    #[serde(default)]
    keep_parallel_frac: f64,
}

fn yes() -> bool {
    true
}

impl Call {
    fn rule(&self) -> GuidanceRule {
        let parallel = if self.remove_parallel_component { self.keep_parallel_frac } else { 1.0 };
        GuidanceRule { scale: self.cond_scale.unwrap_or(1.0), parallel, rescale: self.rescaled_phi }
    }
}

impl Arguments {
    fn schedule(&self) -> Result<ScheduleConfig> {
        let steps = self.timesteps;
        let SigmoidArguments { start, end, tau } = self.schedule_fn_kwargs;
        Ok(match self.beta_schedule.as_str() {
            "linear" => ScheduleConfig::linear(steps),
            "cosine" => ScheduleConfig::cosine(steps),
            "sigmoid" => ScheduleConfig::SigmoidLucid { steps, start, end, tau },
            other => bail!("beta_schedule {other}: expected linear, cosine or sigmoid"),
        })
    }

    fn prediction(&self) -> Result<PredictionType> {
        Ok(match self.objective.as_str() {
            "pred_noise" => PredictionType::Epsilon,
            "pred_x0" => PredictionType::Sample,
            "pred_v" => PredictionType::Velocity,
            other => bail!("objective {other}: expected pred_noise, pred_x0 or pred_v"),
        })
    }

    fn process(&self) -> Result<Process> {
        let config = ProcessConfig {
            schedule: self.schedule()?,
            time: TimeInput::Index,
            prediction: self.prediction()?,
            variance: Variance::FixedSmall,
            clip: true,
            consistency: None,
        };
        Ok(Process::new(&config, Device::Cpu)?)
    }

    fn weighting(&self) -> Weighting {
        match self.min_snr_loss_weight {
            true => Weighting::MinSnr { gamma: self.min_snr_gamma },
            false => Weighting::Snr,
        }
    }

    fn loss_weight(&self, schedule: &Schedule) -> Result<ndarray::Array1<f64>> {
        Ok(match self.weighting() {
            Weighting::MinSnr { gamma } => {
                loss_weights::min_snr(schedule, self.prediction()?, gamma)?
            }
            _ => loss_weights::snr(schedule, self.prediction()?),
        })
    }

    /// The network of the case, or the stand-in.
    fn network(&self, case: &Case, images: &str, kind: Kind) -> Result<Box<dyn TrainableNetwork>> {
        let Some(model) = &self.model else {
            return Ok(Box::new(toy_network_of(case, "weight:", Form::Plain, kind)?));
        };
        let config = model_config(case, model.clone(), case.tensor(images)?)?;
        network(&config, &case.weights.below("weight:"), kind)
    }
}

/// Compares the tables in f64, and the buffers in f32: the same values, rounded.
pub(crate) fn check_schedule(case: &Case) -> Result<Vec<Comparison>> {
    let config: Arguments = case.config()?;
    let schedule = config.schedule()?.build()?;
    let (mut tables, mut buffers) = (Vec::new(), Vec::new());
    for (key, _) in case.weights.iter() {
        let (name, tolerance) = match key.strip_prefix("f32:") {
            Some(name) => (name, Tolerance::Relative(2e-7)),
            None => (key, Tolerance::Relative(1e-12)),
        };
        let ours = match name {
            "loss_weight" => config.loss_weight(&schedule)?,
            // Clipped where the variance is 0, instead of taking the next entry; it is not used there.
            "posterior_log_variance_clipped" => {
                schedule.posterior_variance().mapv(|variance| variance.max(1e-20).ln())
            }
            _ => table(&schedule, name)
                .with_context(|| format!("{}: inkdrop has no table `{name}`", case.name))?,
        };
        let row = case.compare(key, &tensor(&ours), tolerance)?;
        if name == key { &mut tables } else { &mut buffers }.push(row);
    }
    let rows = summary(case, tables).into_iter();
    Ok(rows.chain(summary(case, buffers).into_iter().map(|row| row.noted(" in f32"))).collect())
}

/// How far the original itself ends from the record of its guided chain, on another machine: 1.22e-3 in
/// f32, 1.09e-3 in f64. Its last six steps multiply a difference by 200, so the end is compared in f64.
const GUIDED_END: f64 = 1.3e-3;

/// Compares trajectories of `sample` and `ddim_sample` with the recorded noise.
pub(crate) fn check_chain(case: &Case) -> Result<Vec<Comparison>> {
    let config: Arguments = case.config()?;
    let states = config.run(case, Kind::Float)?;
    let times: Vec<i64> = states.iter().map(|state| state.timestep as i64).collect();
    let mut rows = vec![case.compare("times", &Tensor::from_slice(&times), Tolerance::Exact)?];
    let ends = config.call.is_some().then(|| config.run(case, Kind::Double)).transpose()?;
    rows.extend(config.states(case, &states, ends.as_deref().unwrap_or(&states))?);
    Ok(rows)
}

impl Arguments {
    /// The states of `sample` or `ddim_sample` with the recorded noise.
    fn run(&self, case: &Case, kind: Kind) -> Result<Vec<StepState>> {
        let (process, network) = (self.process()?, self.network(case, "x_T", kind)?);
        let network: &dyn Network = network.as_ref();
        let denoiser = self.denoiser(case, &process, network)?;
        let steps = self.sampling_timesteps.filter(|_| self.method == Some(Method::Ddim));
        let spacing = steps.map_or(TimestepSpacing::All, TimestepSpacing::Truncated);
        let schedule = process.spaced(&LevelSpacing::Timesteps(spacing))?;
        let solver: Box<dyn Solver> = match self.method {
            Some(Method::Ddim) => Box::new(Ddim::new(self.ddim_sampling_eta)?),
            _ => Box::new(Ddpm),
        };
        let x = case.tensor("x_T")?.f_to_kind(kind)?;
        let run = SamplingSteps::new(denoiser, solver, &schedule, x, case.noise()?);
        Ok(run.collect::<Result<_, SamplerError>>()?)
    }

    fn denoiser<'a>(
        &self,
        case: &Case,
        process: &'a Process,
        network: &'a dyn Network,
    ) -> Result<Box<dyn Denoiser + 'a>> {
        let Some(call) = self.call else {
            return Ok(Box::new(NetworkDenoiser::new(process, network, Conditioning::none())));
        };
        let classes = Conditioning::classes(class_ids(case.tensor("y")?)?);
        let cond = NetworkDenoiser::new(process, network, classes).unclipped();
        let none = Conditioning::classes(class_ids(&dropped(case, case.tensor("y")?)?)?);
        let uncond = NetworkDenoiser::new(process, network, none).unclipped();
        let (rule, variable) = (call.rule(), self.prediction()?);
        let guided = ClassifierFreeGuidance::new(cond, uncond, rule.scale)
            .parallel(rule.parallel, variable)
            .rescale(rule.rescale, variable);
        let clipped = ClipDenoised::new(guided);
        // Without classes the package computes the noise anew, and of v and x0 it always does.
        let keeps = self.method == Some(Method::Ddim) && variable == PredictionType::Epsilon;
        Ok(Box::new(if keeps { clipped.keep_noise() } else { clipped }))
    }

    /// The first, a middle and the last state, in the range of the case; the last x0 in [−1, 1].
    ///
    /// - ends: the states of which the last one is compared
    fn states(
        &self,
        case: &Case,
        states: &[StepState],
        ends: &[StepState],
    ) -> Result<Vec<Comparison>> {
        let (unit, guided) = (self.sample_range == "[0,1]", self.call.is_some());
        let tolerance = Tolerance::Scaled(1e-4);
        let end = if guided { Tolerance::Absolute(GUIDED_END) } else { tolerance };
        // The module with classes keeps its steps in [−1, 1].
        let ranges = [unit && !guided, unit && !guided, unit];
        let keys = ["sample_step_1", "sample_mid", "sample"];
        let counts = [1, self.sample_mid_index, states.len()];
        let mut rows = Vec::new();
        for ((key, count), unit) in keys.into_iter().zip(counts).zip(ranges) {
            let states = if key == "sample" { ends } else { states };
            let state = count.checked_sub(1).and_then(|index| states.get(index));
            let x = &state.with_context(|| format!("{}: no step {count}", case.name))?.x;
            let shown = if unit { (x + 1.0) / 2.0 } else { x.shallow_clone() };
            let tolerance = if key == "sample" { end } else { tolerance };
            rows.push(case.compare(key, &shown, tolerance)?);
        }
        let last = &ends[ends.len() - 1].x0;
        rows.push(case.compare("pred_xstart_last", last, end)?);
        Ok(rows)
    }
}

/// Compares `p_losses`: each image's loss, their mean, x_t and the gradients.
pub(crate) fn check_loss(case: &Case) -> Result<Vec<Comparison>> {
    let config: Arguments = case.config()?;
    let process = config.process()?;
    let weights = tensor(&config.loss_weight(process.schedule())?);
    let weights = weights.f_index_select(0, case.tensor("t")?)?;
    let mut rows = vec![case.compare("loss_weight_at_t", &weights, Tolerance::Relative(2e-7))?];
    let single = config.network(case, "x_start", Kind::Float)?;
    let loss = config.loss(case, &process, single.as_ref())?;
    let tolerance = Tolerance::Scaled(2e-5);
    let mean = loss.f_mean(Kind::Float)?;
    rows.push(case.compare("term:loss_per_image", &loss, tolerance)?);
    rows.push(case.compare("term:loss", &mean.f_view(1)?, tolerance)?);
    mean.f_backward()?;
    rows.extend(case.compare_gradients(single.as_ref().params())?);
    let double = config.network(case, "x_start", Kind::Double)?;
    let loss = config.loss(case, &process, double.as_ref())?;
    let theirs = case.tensor("term:loss_per_image")?;
    let distance = Distance::between(&loss, theirs, Tolerance::Scaled(1e-6))?;
    rows.push(case.row("term:loss_per_image in f64", Status::Compared(distance)));
    Ok(rows)
}

impl Arguments {
    /// The loss of each image, `[B]`.
    fn loss(
        &self,
        case: &Case,
        process: &Process,
        network: &dyn TrainableNetwork,
    ) -> Result<Tensor> {
        let kind = network.params().kind();
        let x0 = case.tensor("x_start")?.f_to_kind(kind)?;
        let mut noise = case.tensor("noise")?.f_to_kind(kind)?;
        if let Some(offset) = case.weights.get("offset_noise") {
            let offset = offset.f_unsqueeze(-1)?.f_unsqueeze(-1)?.f_to_kind(kind)?;
            noise = noise.f_add(&offset.f_mul_scalar(self.offset_noise_strength)?)?;
        }
        let config = ObjectiveConfig { weighting: self.weighting(), ..ObjectiveConfig::default() };
        let objective = Objective::new(process, &config)?;
        let batch = (&x0, case.tensor("t")?, &noise);
        let mut conditioning = Conditioning::none();
        if self.self_cond {
            let x0 = objective.self_condition(network, batch, &conditioning, Mode::Eval)?;
            conditioning.self_condition = Some(x0);
        }
        Ok(objective.terms(network, batch, &conditioning, Mode::Eval)?.loss)
    }
}

/// The loss of a training by lucidrains' Trainer, without self-conditioning.
pub(crate) fn training_loss(case: &Case) -> Result<TrainingLoss<'_>> {
    let config: Arguments = case.config()?;
    let arguments =
        config.model.clone().context("a training needs the arguments of its network")?;
    let model = model_config(case, arguments, case.tensor("x_start")?)?;
    let objective = ObjectiveConfig { weighting: config.weighting(), ..ObjectiveConfig::default() };
    let objective = Objective::new(config.process()?, &objective)?;
    let of = move |network: &dyn TrainableNetwork, step: i64| {
        let [x0, t, noise] = ["x_start", "t", "noise"].map(|key| at(case, key, step));
        let (x0, t, noise) = (x0?, t?, noise?);
        let terms =
            objective.terms(network, (&x0, &t, &noise), &Conditioning::none(), Mode::Train)?;
        Ok(terms.loss.f_mean(Kind::Float)?)
    };
    Ok(TrainingLoss { model, of: Box::new(of) })
}

/// The classes of a call: `y`, with the null class where the call drops them.
pub(crate) fn called_classes(case: &Case) -> Result<Option<Tensor>> {
    let Some(y) = case.weights.get("y") else { return Ok(None) };
    if let Some(keep) = case.weights.get("cond_keep_mask") {
        return Ok(Some(y.f_where_self(keep, &dropped(case, y)?)?));
    }
    match call(case)?.and_then(|call| call.cond_drop_prob) {
        None | Some(0.0) => Ok(Some(y.shallow_clone())),
        Some(1.0) => Ok(Some(dropped(case, y)?)),
        Some(other) => bail!("{}: cond_drop_prob {other} drops at random", case.name),
    }
}

/// The output of `forward_with_cond_scale`; `None` for another call.
pub(crate) fn guided(
    case: &Case,
    network: &dyn TrainableNetwork,
    (x, t): (&Tensor, &Tensor),
) -> Result<Option<Tensor>> {
    let Some(call) = call(case)?.filter(|call| call.cond_scale.is_some()) else { return Ok(None) };
    let y = case.tensor("y")?;
    let forward = |y: &Tensor| -> Result<Tensor> {
        let conditioning = Conditioning::classes(class_ids(y)?);
        Ok(network.forward_mode(x, t, &conditioning, Mode::Eval)?)
    };
    Ok(Some(call.rule().guide(&forward(y)?, &forward(&dropped(case, y)?)?)?))
}

fn call(case: &Case) -> Result<Option<Call>> {
    let config: Value = case.config()?;
    match config.get("call") {
        None | Some(Value::Null) => Ok(None),
        Some(call) => Ok(Some(Call::deserialize(call)?)),
    }
}

/// The null class for each image.
fn dropped(case: &Case, y: &Tensor) -> Result<Tensor> {
    let _guard = no_grad_guard();
    Ok(y.f_full_like(case.tensor("weight:classes_emb.weight")?.size()[0])?)
}
