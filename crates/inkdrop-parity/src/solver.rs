//! diffusers' schedulers, compared with inkdrop's samplers at every step.

use std::cell::RefCell;

use anyhow::{Context, Result, bail};
use inkdrop::scheduler::{Class, Predicts, Scheduler, SchedulerRun, StepOptions, VarianceType};
use inkdrop_nn::{Conditioning, Network};
use inkdrop_process::{Denoiser, Prediction, ProcessError};
use inkdrop_sampler::SamplingRun;
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
}

/// Arguments of DDIMScheduler's `step`.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(default)]
struct StepArguments {
    eta: f64,
    use_clipped_model_output: bool,
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
    let StepArguments { eta, use_clipped_model_output } = config.step.unwrap_or(config.flat);
    let options = match scheduler.class {
        Class::Ddim => StepOptions { eta, use_clipped_model_output },
        _ => StepOptions::default(),
    };
    let run = scheduler.run(config.num_inference_steps, options, &recorded)?;
    let network = toy_network(case, Form::Damped, Kind::Float)?;
    let model = SchedulerModel { network: &network, scheduler, calls: RefCell::default() };
    let x = case.tensor("x_T")?;
    let x = match scheduler.class.grows() {
        true => x.f_mul_scalar(run.schedule().start().signal())?,
        false => x.shallow_clone(),
    };
    let sample = run.steps_from(run.denoiser(&model), x, case.noise()?)?.finish()?;
    let calls = model.calls.into_inner();
    let class = scheduler.class;
    let result = RunResult { case, class, run, calls, sample };

    let mut rows = result.levels()?;
    rows.extend(result.own_schedule(scheduler)?);
    rows.extend(result.states(config.sample_mid_index)?);
    Ok(rows)
}

/// Result of a sampling run.
struct RunResult<'a> {
    case: &'a Case,
    class: Class,
    run: SchedulerRun,
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
            let exact = class.by_index() || !class.grows();
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
    fn states(&self, mid: usize) -> Result<Vec<Comparison>> {
        let Self { case, class, run, calls, sample } = self;
        let steps = run.schedule().steps();
        let end = steps[steps.len() - 1].to;
        let state = |step: usize| match calls.get(step + 1) {
            Some(call) => in_its_space(*class, &call.x, call.level.signal()),
            None if step + 1 == calls.len() => in_its_space(*class, sample, end.signal()),
            None => bail!("{}: step {step} does not exist, the run has {}", case.name, calls.len()),
        };
        let tolerance = Tolerance::Scaled(1e-4);
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
        Class::Heun => [first, &twice(&rest[..rest.len() - 1]), last].concat(),
        Class::Kdpm2 => [first, &twice(rest), last].concat(),
        _ => sigmas.to_vec(),
    }
}

/// Converts a state to the scheduler's scale: x0 + σ·ε for the classes with σ.
fn in_its_space(class: Class, x: &Tensor, signal: f64) -> Result<Tensor> {
    let x = x.f_to_kind(Kind::Double)?;
    Ok(if class.grows() { x.f_div_scalar(signal)? } else { x })
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
    calls: RefCell<Vec<Call>>,
}

impl Denoiser for SchedulerModel<'_> {
    fn denoise(&self, x: &Tensor, step: &SolverStep) -> Result<Prediction, ProcessError> {
        self.calls.borrow_mut().push(Call { x: x.shallow_clone(), level: step.from });
        let t = Tensor::f_full([x.size()[0]], step.from.timestep, (Kind::Float, Device::Cpu))?;
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
            Predicts::VPrediction => {
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
            && matches!(self.scheduler.class, Class::Ddpm | Class::DpmMultistep)
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
