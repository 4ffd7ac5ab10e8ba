//! Power-function averages and their post-hoc reconstruction (Karras et al. 2024), table by table.

use anyhow::{Context, Result};
use inkdrop_torch::tch::{Kind, Tensor};
use inkdrop_train::{EmaDecay, EmaProfile, posthoc_coefficients};
use serde::Deserialize;

use crate::report::Tolerance;
use crate::{Case, Comparison};

#[derive(Debug, Deserialize)]
struct Config {
    /// Widths of the averages of the trace.
    stds: Vec<f64>,
    /// Number of updates.
    steps: usize,
}

/// f64 tables.
const TABLE: Tolerance = Tolerance::Relative(1e-6);

pub(crate) fn check(case: &Case) -> Result<Vec<Comparison>> {
    let config: Config = case.config()?;
    let widths = numbers(case, "std")?;
    let gammas: Vec<f64> = widths.iter().map(|&width| profile(width, 1.0).gamma()).collect();
    let mut rows = vec![case.compare("exp_of_std", &Tensor::from_slice(&gammas), TABLE)?];
    rows.extend(correlations(case)?);
    rows.push(case.compare("response", &responses(case)?, TABLE)?);
    for (number, &width) in config.stds.iter().enumerate() {
        rows.extend(trace(case, number, EmaDecay::Power { width }, config.steps)?);
    }
    Ok(rows)
}

fn profile(width: f64, step: f64) -> EmaProfile {
    EmaProfile { width, step }
}

fn numbers(case: &Case, key: &str) -> Result<Vec<f64>> {
    Ok(Vec::try_from(case.tensor(key)?.f_view([-1])?)?)
}

/// The snapshots, or the averages to reconstruct.
fn profiles(case: &Case, side: &str) -> Result<Vec<EmaProfile>> {
    let (widths, steps) =
        (numbers(case, &format!("{side}_std"))?, numbers(case, &format!("{side}_ofs"))?);
    // One step may stand for all.
    let step = |i: usize| steps[i.min(steps.len() - 1)];
    Ok(widths.iter().enumerate().map(|(i, &width)| profile(width, step(i))).collect())
}

fn correlations(case: &Case) -> Result<Vec<Comparison>> {
    let (given, targets) = (profiles(case, "in")?, profiles(case, "out")?);
    let products = |others: &[EmaProfile]| -> Result<Tensor> {
        let row = |one: EmaProfile| others.iter().map(move |other| one.inner_product(*other));
        let values: Vec<f64> = given.iter().flat_map(|one| row(*one)).collect();
        Ok(Tensor::f_from_slice(&values)?.f_view([given.len() as i64, others.len() as i64])?)
    };
    let columns: Vec<Tensor> = targets
        .iter()
        .map(|&target| Ok(Tensor::f_from_slice(&posthoc_coefficients(&given, target)?)?))
        .collect::<Result<_>>()?;
    Ok(vec![
        case.compare("correlation_in_in", &products(&given)?, TABLE)?,
        case.compare("correlation_in_out", &products(&targets)?, TABLE)?,
        // Coefficients of all sizes from an ill-conditioned system: relative to the largest.
        case.compare("coefficients", &Tensor::f_stack(&columns, 1)?, Tolerance::Scaled(1e-6))?,
    ])
}

/// The profiles t^γ up to their step, normalised to a sum of 1.
fn responses(case: &Case) -> Result<Tensor> {
    let length = case.tensor("response")?.size()[0];
    let (widths, steps) = (numbers(case, "response_std")?, numbers(case, "response_ofs")?);
    let columns: Vec<Tensor> = widths
        .iter()
        .zip(steps)
        .map(|(&width, last)| {
            let gamma = profile(width, last).gamma();
            let at = |i: i64| if i as f64 <= last { (i as f64 / last).powf(gamma) } else { 0.0 };
            let values: Vec<f64> = (0..length).map(at).collect();
            let sum: f64 = values.iter().sum();
            Ok(Tensor::f_from_slice(&values)?.f_div_scalar(sum)?)
        })
        .collect::<Result<_>>()?;
    Ok(Tensor::f_stack(&columns, 1)?)
}

/// The decays of an average, and the average after each update.
fn trace(case: &Case, number: usize, decay: EmaDecay, steps: usize) -> Result<Vec<Comparison>> {
    let decays: Vec<f64> = (0..steps).map(|step| decay.at(step, 1)).collect();
    let key = format!("ema{number}:beta");
    let mut rows =
        vec![case.compare(&key, &Tensor::from_slice(&decays), Tolerance::Scaled(1e-9))?];
    for name in ["weight", "bias"] {
        let weights = case.tensor(&format!("trace:{name}"))?;
        let mut average = weights.f_get(0)?;
        let mut averages = Vec::new();
        for (step, decay) in decays.iter().enumerate() {
            let newest = weights.f_get(step as i64 + 1)?;
            average = average.f_lerp(&newest, 1.0 - decay)?;
            averages.push(average.shallow_clone());
        }
        let ours = Tensor::f_stack(&averages, 0)?.f_to_kind(Kind::Double)?;
        let key = format!("ema{number}:{name}");
        rows.push(case.compare(&key, &ours, Tolerance::Scaled(1e-6)).context(key)?);
    }
    Ok(rows)
}
