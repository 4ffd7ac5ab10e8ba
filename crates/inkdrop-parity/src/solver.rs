//! diffusers' schedulers, compared with inkdrop's samplers at every step.

mod model;

use anyhow::{Context, Result, bail};
use inkdrop::scheduler::{Class, Scheduler, SchedulerRun, StepOptions};
use inkdrop_sampler::SamplingRun;
use inkdrop_torch::tch::{Kind, Tensor};
use serde::Deserialize;
use serde_json::Value;

use self::model::{Call, Recorder, SchedulerModel};
use crate::report::{Distance, Status, Tolerance};
use crate::toy_network::{Form, ToyNetwork};
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
    let network = ToyNetwork::of(&case.weights.below("weight:"), Form::Damped, Kind::Float)?;
    let recorder = Recorder::new(SchedulerModel::new(network, scheduler));
    let x = case.tensor("x_T")?;
    let x = match scheduler.class.grows() {
        true => x.f_mul_scalar(run.schedule().start().signal())?,
        false => x.shallow_clone(),
    };
    let sample = run.steps_from(run.denoiser(&recorder), x, case.noise()?)?.finish()?;
    let result = RunResult { calls: recorder.into_calls(), sample };

    let mut rows = levels(case, scheduler.class, &run, &result)?;
    rows.extend(own_schedule(case, scheduler, &run)?);
    rows.extend(states(case, scheduler.class, &run, result, config.sample_mid_index)?);
    Ok(rows)
}

/// Result of a sampling run.
struct RunResult {
    /// All network calls.
    calls: Vec<Call>,
    /// The final sample, of unit variance.
    sample: Tensor,
}

/// Compares the timesteps of all network calls, and σ.
///
/// Both are f32 numbers from logarithms and interpolation: 1e-5 is about a hundred roundings of ln σ.
fn levels(
    case: &Case,
    class: Class,
    run: &SchedulerRun,
    result: &RunResult,
) -> Result<Vec<Comparison>> {
    let mut rows = Vec::new();
    if case.weights.get("timesteps").is_some() {
        let times: Vec<f64> = result.calls.iter().map(|call| call.level.timestep).collect();
        let times = Tensor::from_slice(&times);
        let exact = class.by_index() || !class.grows();
        let tolerance = if exact { Tolerance::Exact } else { Tolerance::Scaled(1e-5) };
        rows.push(case.compare("timesteps", &times, tolerance)?);
    }
    if let (Some(_), Some(sigmas)) = (case.weights.get("sigmas"), run.sigmas()) {
        let sigmas = Tensor::from_slice(&as_listed(class, sigmas));
        rows.push(case.compare("sigmas", &sigmas, Tolerance::Relative(1e-5))?);
    }
    Ok(rows)
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

/// Compares inkdrop's schedule with the scheduler's f32 table.
///
/// The table has an error of 1e-6, from the rounding of 1 − β and of the cumulative product.
fn own_schedule(
    case: &Case,
    scheduler: &Scheduler,
    run: &SchedulerRun,
) -> Result<Option<Comparison>> {
    let Some(ours) = scheduler.noise_schedule() else { return Ok(None) };
    let ours = ours.build()?.alphas_cumprod().to_vec();
    let theirs = Tensor::from_slice(run.alphas_cumprod());
    let distance = Distance::between(&Tensor::from_slice(&ours), &theirs, Tolerance::Scaled(1e-5))?;
    Ok(Some(case.row("alphas_cumprod", Status::Compared(distance))))
}

/// Compares the first, a middle and the last state. The state after a scheduler's step is the x of
/// the next network call.
fn states(
    case: &Case,
    class: Class,
    run: &SchedulerRun,
    result: RunResult,
    mid: usize,
) -> Result<Vec<Comparison>> {
    let RunResult { calls, sample } = result;
    let steps = run.schedule().steps();
    let end = steps[steps.len() - 1].to;
    let state = |step: usize| match calls.get(step + 1) {
        Some(call) => in_its_space(class, &call.x, call.level.signal()),
        None if step + 1 == calls.len() => in_its_space(class, &sample, end.signal()),
        None => bail!("{}: step {step} does not exist, the run has {}", case.name, calls.len()),
    };
    let tolerance = Tolerance::Scaled(1e-4);
    Ok(vec![
        case.compare("sample_step_1", &state(0)?, tolerance)?,
        case.compare("sample_mid", &state(mid)?, tolerance)?,
        case.compare("sample", &state(calls.len() - 1)?, tolerance)?,
    ])
}

/// Converts a state to the scheduler's scale: x0 + σ·ε for the classes with σ.
fn in_its_space(class: Class, x: &Tensor, signal: f64) -> Result<Tensor> {
    let x = x.f_to_kind(Kind::Double)?;
    Ok(if class.grows() { x.f_div_scalar(signal)? } else { x })
}
