//! diffusers' schedulers, compared with inkdrop's samplers at every step.

use std::cell::RefCell;

use anyhow::{Context, Result, bail};
use inkdrop::sampler::{Churn, SamplingRun, Tau, TauRange};
use inkdrop::scheduler::{
    Class, Predicts, Scheduler, SchedulerRun, Space, StepOptions, TimestepOptions, VarianceType,
};
use inkdrop_nn::{Conditioning, Network};
use inkdrop_process::{Denoiser, Prediction, ProcessError};
use inkdrop_schedule::{NoiseLevel, SolverStep};
use inkdrop_torch::tch::{Device, Kind, TchError, Tensor};
use serde::Deserialize;
use serde_json::Value;

use crate::report::{Distance, Status, Tolerance};
use crate::toy_network::{Form, toy_network};
use crate::{Case, Comparison};

#[derive(Debug, Deserialize)]
struct Config {
    scheduler: Value,
    num_inference_steps: usize,
    sample_mid_index: usize,
    /// Arguments of `step`; in older cases they stand beside the others.
    #[serde(default)]
    step: Option<StepArguments>,
    #[serde(flatten)]
    flat: StepArguments,
    #[serde(default)]
    set_timesteps: TimestepArguments,
    /// τ of SASolverScheduler.
    #[serde(default)]
    tau: Option<TauArguments>,
}

/// Arguments of a scheduler's `step`.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(default)]
struct StepArguments {
    eta: Option<f64>,
    use_clipped_model_output: bool,
    s_churn: f64,
    s_tmin: f64,
    s_tmax: Option<f64>,
    s_noise: Option<f64>,
}

/// Arguments of a scheduler's `set_timesteps`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct TimestepArguments {
    timesteps: Option<Vec<f64>>,
    sigmas: Option<Vec<f64>>,
    mu: Option<f64>,
    strength: Option<f64>,
    original_inference_steps: Option<usize>,
}

/// τ(t): a value from one timestep to another.
#[derive(Debug, Clone, Copy, Deserialize)]
struct TauArguments {
    start: f64,
    end: f64,
    value: f64,
}

impl Config {
    fn step_options(&self, class: Class) -> StepOptions {
        let step = self.step.unwrap_or(self.flat);
        let churn = Churn {
            churn: step.s_churn,
            min: step.s_tmin,
            max: step.s_tmax.unwrap_or(f64::INFINITY),
            noise: step.s_noise.unwrap_or(1.0),
        };
        StepOptions {
            eta: step.eta.filter(|_| matches!(class, Class::Ddim | Class::Tcd)),
            use_clipped_model_output: step.use_clipped_model_output && class == Class::Ddim,
            churn: (churn.churn > 0.0 && class != Class::FlowEuler).then_some(churn),
            tau: self.tau.map(|TauArguments { start, end, value }| Tau {
                value,
                range: TauRange::Timesteps(start, end),
            }),
        }
    }

    fn timestep_options(&self) -> TimestepOptions {
        let TimestepArguments { timesteps, sigmas, mu, strength, original_inference_steps } =
            self.set_timesteps.clone();
        TimestepOptions { timesteps, sigmas, mu, strength, original_inference_steps }
    }
}

pub(crate) fn check(case: &Case) -> Result<Vec<Comparison>> {
    let Some(class) = Class::named(&case.family) else {
        return Ok(vec![case.row(format!("solver of {}", case.family), Status::NotCovered)]);
    };
    let config: Config = case.config()?;
    let rows = Scheduler::new(class, &case.family, &config.scheduler)
        .map_err(anyhow::Error::from)
        .and_then(|scheduler| compare(case, &scheduler, &config));
    rows.with_context(|| format!("{} ({})", case.name, case.family))
}

fn compare(case: &Case, scheduler: &Scheduler, config: &Config) -> Result<Vec<Comparison>> {
    let recorded = case.weights.get("timesteps").map(|times| times.f_to_kind(Kind::Double));
    let recorded: Vec<f64> = recorded.transpose()?.map_or(Ok(Vec::new()), Vec::try_from)?;
    let (options, given) = (config.step_options(scheduler.class), config.timestep_options());
    let run = scheduler.run_with(config.num_inference_steps, options, &given, &recorded)?;
    let single = run_case(case, scheduler, &run, Kind::Float)?;

    let mut rows = single.levels()?;
    rows.extend(single.own_schedule(scheduler)?);
    let mid = config.sample_mid_index;
    rows.extend(single.states(mid, Tolerance::Scaled(1e-4))?);
    if let Some(figure) = noted_figure(case) {
        let double = run_case(case, scheduler, &run, Kind::Double)?;
        let tolerance = Tolerance::Scaled(figure.max(1e-6));
        let states = double.states(mid, tolerance)?;
        rows.extend(states.into_iter().map(|row| row.noted(" in f64")));
    }
    Ok(rows)
}

/// How far the case's reference in f32 is from the same scheduler in f64, as its note says.
fn noted_figure(case: &Case) -> Option<f64> {
    let (_, rest) =
        case.weights.metadata_text("note")?.split_once("differs from this f32 run by ")?;
    let figure: f64 = rest.split_whitespace().next()?.parse().ok()?;
    // It is rounded to two digits.
    Some(figure * 1.05)
}

fn run_case<'a>(
    case: &'a Case,
    scheduler: &'a Scheduler,
    run: &'a SchedulerRun,
    kind: Kind,
) -> Result<RunResult<'a>> {
    let network = toy_network(case, Form::Damped, kind)?;
    let model = SchedulerModel { network: &network, scheduler, run, calls: RefCell::default() };
    let scale = run.space().scale(run.schedule().start());
    let x = case.tensor("x_T")?.f_to_kind(kind)?.f_div_scalar(scale)?;
    let sample = run.steps_from(run.denoiser(&model), x, case.noise()?)?.finish()?;
    let calls = model.calls.into_inner();
    Ok(RunResult { case, class: scheduler.class, run, calls, sample })
}

/// Result of a sampling run.
struct RunResult<'a> {
    case: &'a Case,
    class: Class,
    run: &'a SchedulerRun,
    /// All network calls.
    calls: Vec<Call>,
    /// The final sample, of unit variance.
    sample: Tensor,
}

impl RunResult<'_> {
    /// Compares the timesteps of all network calls, and σ.
    ///
    /// Both are f32 numbers from logarithms and interpolation: 1e-5 is about a hundred roundings of ln σ.
    fn levels(&self) -> Result<Vec<Comparison>> {
        let Self { case, class, run, calls, .. } = self;
        let mut rows = Vec::new();
        if case.weights.get("timesteps").is_some() {
            let times: Vec<f64> = calls.iter().map(|call| call.level.timestep).collect();
            let times = Tensor::from_slice(&times);
            let exact = class.has_betas() && run.space() != Space::Sigma;
            let tolerance = if exact { Tolerance::Exact } else { Tolerance::Scaled(1e-5) };
            rows.push(case.compare("timesteps", &times, tolerance)?);
        }
        if let (Some(_), Some(sigmas)) = (case.weights.get("sigmas"), run.sigmas()) {
            let sigmas = Tensor::from_slice(&as_listed(*class, sigmas));
            rows.push(case.compare("sigmas", &sigmas, Tolerance::Relative(1e-5))?);
        }
        Ok(rows)
    }

    /// Compares inkdrop's schedule with the scheduler's f32 table.
    ///
    /// The table has an error of 1e-6, from the rounding of 1 − β and of the cumulative product.
    fn own_schedule(&self, scheduler: &Scheduler) -> Result<Option<Comparison>> {
        let Some(ours) = scheduler.noise_schedule() else { return Ok(None) };
        let ours = ours.build()?.alphas_cumprod().to_vec();
        let theirs = Tensor::from_slice(self.run.alphas_cumprod());
        let distance =
            Distance::between(&Tensor::from_slice(&ours), &theirs, Tolerance::Scaled(1e-5))?;
        Ok(Some(self.case.row("alphas_cumprod", Status::Compared(distance))))
    }

    /// Compares the first, a middle and the last state. The state after a scheduler's step is the x of
    /// the next network call.
    fn states(&self, mid: usize, tolerance: Tolerance) -> Result<Vec<Comparison>> {
        let Self { case, run, calls, sample, .. } = self;
        let steps = run.schedule().steps();
        let end = steps[steps.len() - 1].to;
        let scaled = |x: &Tensor, level: NoiseLevel| -> Result<Tensor> {
            Ok(x.f_to_kind(Kind::Double)?.f_mul_scalar(run.space().scale(level))?)
        };
        let state = |step: usize| match calls.get(step + 1) {
            Some(call) => scaled(&call.x, call.level),
            None if step + 1 == calls.len() => scaled(sample, end),
            None => bail!("{}: step {step} does not exist, the run has {}", case.name, calls.len()),
        };
        Ok(vec![
            case.compare("sample_step_1", &state(0)?, tolerance)?,
            case.compare("sample_mid", &state(mid)?, tolerance)?,
            case.compare("sample", &state(calls.len() - 1)?, tolerance)?,
        ])
    }
}

/// σ in the order of the scheduler class, which lists each σ twice if a step has two calls.
fn as_listed(class: Class, sigmas: &[f64]) -> Vec<f64> {
    let (first, rest) = sigmas.split_at(1);
    let last = &sigmas[sigmas.len() - 1..];
    let twice = |part: &[f64]| part.iter().flat_map(|&sigma| [sigma, sigma]).collect::<Vec<_>>();
    match class {
        Class::Heun | Class::FlowHeun => [first, &twice(&rest[..rest.len() - 1]), last].concat(),
        Class::Kdpm2 | Class::Kdpm2Ancestral => [first, &twice(rest), last].concat(),
        _ => sigmas.to_vec(),
    }
}

/// A network call.
struct Call {
    /// x, of unit variance.
    x: Tensor,
    /// The noise level.
    level: NoiseLevel,
}

/// The toy network with the prediction type and variance of a scheduler. Records its calls.
struct SchedulerModel<'a> {
    network: &'a dyn Network,
    scheduler: &'a Scheduler,
    run: &'a SchedulerRun,
    calls: RefCell<Vec<Call>>,
}

impl Denoiser for SchedulerModel<'_> {
    fn denoise(&self, x: &Tensor, step: &SolverStep) -> Result<Prediction, ProcessError> {
        self.calls.borrow_mut().push(Call { x: x.shallow_clone(), level: step.from });
        let t = Tensor::f_full([x.size()[0]], step.from.timestep, (Kind::Float, Device::Cpu))?;
        if let Some(coefs) = self.run.network_coefs(step.from) {
            let input = x.f_mul_scalar(coefs.input)?;
            let out = self.network.forward(&input, &t, &Conditioning::none())?;
            let x0 = x.f_mul_scalar(coefs.skip)?.f_add(&out.f_mul_scalar(coefs.output)?)?;
            return Prediction::from_x0(x0, x, step);
        }
        let out = self.network.forward(x, &t, &Conditioning::none())?;
        let channels = x.size()[1];
        let (out, second) = match self.learns_variance() {
            true => (out.f_narrow(1, 0, channels)?, Some(out.f_narrow(1, channels, channels)?)),
            false => (out, None),
        };
        let log_variance = self.log_variance(step, second, x.kind())?;
        let (x0, eps) = (x.shallow_clone(), x.shallow_clone());
        let unread = Prediction { x0, eps, log_variance, mean: None };
        let (signal, noise) = (step.from.signal(), step.from.noise());
        let mix = |a: f64, x: &Tensor, b: f64, y: &Tensor| -> Result<Tensor, TchError> {
            x.f_mul_scalar(a)?.f_add(&y.f_mul_scalar(b)?)
        };
        match self.scheduler.arguments.prediction_type {
            Predicts::Epsilon => unread.with_eps(out, x, step),
            Predicts::Sample => unread.with_x0(out, x, step),
            Predicts::VPrediction | Predicts::FlowPrediction => {
                let (x0, eps) = (mix(signal, x, -noise, &out)?, mix(signal, &out, noise, x)?);
                Ok(Prediction { x0, eps, ..unread })
            }
        }
    }
}

impl SchedulerModel<'_> {
    /// True if the second half of the output is the variance.
    fn learns_variance(&self) -> bool {
        let variance = self.scheduler.arguments.variance_type;
        matches!(variance, Some(VarianceType::Learned | VarianceType::LearnedRange))
            && matches!(
                self.scheduler.class,
                Class::Ddpm | Class::DpmMultistep | Class::DpmSinglestep | Class::SaSolver
            )
    }

    fn log_variance(
        &self,
        step: &SolverStep,
        second: Option<Tensor>,
        kind: Kind,
    ) -> Result<Tensor, ProcessError> {
        let (small, large) = (step.posterior_variance().max(1e-20).ln(), step.beta().ln());
        Ok(match (self.scheduler.arguments.variance_type, second) {
            // diffusers takes the output as the variance itself.
            (Some(VarianceType::Learned), Some(v)) => v.f_log()?,
            (Some(VarianceType::LearnedRange), Some(v)) => {
                let share = v.f_add_scalar(1.0)?.f_mul_scalar(0.5)?;
                share.f_mul_scalar(large - small)?.f_add_scalar(small)?
            }
            (Some(VarianceType::FixedLarge), _) => {
                Tensor::f_scalar_tensor(large, (kind, Device::Cpu))?
            }
            _ => Tensor::f_scalar_tensor(small, (kind, Device::Cpu))?,
        })
    }
}
