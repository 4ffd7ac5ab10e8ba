//! diffusers' schedulers, compared with inkdrop's samplers at every step.

mod arguments;
mod clipping;
mod model;
mod names;
mod numpy;
mod run;
mod scheduler_steps;
mod tables;
mod timesteps;

use anyhow::{Context, Result, bail};
use inkdrop_torch::tch::{Kind, Tensor};
use serde::Deserialize;

use self::arguments::Arguments;
use self::model::Recorder;
use self::names::Class;
use self::run::{Run, RunResult, in_its_space};
use self::scheduler_steps::{Planner, SchedulerSteps};
use self::tables::Tables;
use crate::report::{Distance, Status, Tolerance};
use crate::toy_network::{Form, ToyNetwork};
use crate::{Case, Comparison};

#[derive(Debug, Deserialize)]
struct Config {
    scheduler: Arguments,
    num_inference_steps: usize,
    sample_mid_index: usize,
    /// DDIM's η.
    #[serde(default)]
    eta: f64,
    /// DDIM: recompute ε from the clipped x0.
    #[serde(default)]
    use_clipped_model_output: bool,
}

pub(crate) fn check(case: &Case) -> Result<Vec<Comparison>> {
    let Some(class) = Class::named(&case.family) else {
        return Ok(vec![case.row(format!("solver of {}", case.family), Status::NotCovered)]);
    };
    let config: Config = case.config()?;
    let rows = config.scheduler.check(class).and_then(|()| compare(case, class, &config));
    rows.with_context(|| format!("{} ({})", case.name, case.family))
}

fn compare(case: &Case, class: Class, config: &Config) -> Result<Vec<Comparison>> {
    let arguments = &config.scheduler;
    let tables = Tables::of(arguments, class)?;
    let recorded = case.weights.get("timesteps").map(|times| times.f_to_kind(Kind::Double));
    let recorded: Vec<f64> = recorded.transpose()?.map_or(Ok(Vec::new()), Vec::try_from)?;
    let count = config.num_inference_steps;
    let planner = Planner { class, arguments, tables: &tables, count, recorded: &recorded };
    let steps = planner.steps()?;

    let network = ToyNetwork::of(&case.weights.below("weight:"), Form::Damped, Kind::Float)?;
    let keeps_noise = class == Class::Ddim && !config.use_clipped_model_output;
    let model = Recorder::new(network, arguments, class, keeps_noise);
    let run = Run { class, arguments, tables: &tables, eta: config.eta };
    run.check()?;
    let x = case.tensor("x_T")?;
    let x = match class.grows() {
        true => x.f_mul_scalar(steps.steps[0].from.signal())?,
        false => x.shallow_clone(),
    };
    let result = run.sample(model, &steps, x, case.noise()?)?;

    let mut rows = levels(case, class, &steps, &result)?;
    rows.extend(own_schedule(case, class, arguments, &tables)?);
    rows.extend(states(case, class, &steps, result, config.sample_mid_index)?);
    Ok(rows)
}

/// Compares the timesteps of all network calls, and σ.
///
/// Both are f32 numbers from logarithms and interpolation: 1e-5 is about a hundred roundings of ln σ.
fn levels(
    case: &Case,
    class: Class,
    steps: &SchedulerSteps,
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
    if let (Some(_), Some(sigmas)) = (case.weights.get("sigmas"), &steps.sigmas) {
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
    class: Class,
    arguments: &Arguments,
    tables: &Tables,
) -> Result<Option<Comparison>> {
    let Some(ours) = tables::named(arguments, class) else { return Ok(None) };
    let ours = ours.build()?.alphas_cumprod().to_vec();
    let theirs = Tensor::from_slice(&tables.plain_bars);
    let distance = Distance::between(&Tensor::from_slice(&ours), &theirs, Tolerance::Scaled(1e-5))?;
    Ok(Some(case.row("alphas_cumprod", Status::Compared(distance))))
}

/// Compares the first, a middle and the last state. The state after a scheduler's step is the x of
/// the next network call.
fn states(
    case: &Case,
    class: Class,
    steps: &SchedulerSteps,
    result: RunResult,
    mid: usize,
) -> Result<Vec<Comparison>> {
    let RunResult { calls, sample } = result;
    let end = steps.steps[steps.steps.len() - 1].to;
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
