//! Noise schedules, compared table by table.

use anyhow::{Context, Result};
use inkdrop_schedule::{Schedule, ScheduleConfig};
use inkdrop_torch::tch::Tensor;
use ndarray::Array1;
use serde::Deserialize;

use crate::report::{Distance, Tolerance};
use crate::{Case, Comparison, Status, improved};

/// Arguments of the sprites notebook's schedule.
#[derive(Debug, Deserialize)]
pub(crate) struct Sprites {
    timesteps: usize,
    beta1: f64,
    beta2: f64,
}

impl Sprites {
    pub(crate) fn config(&self) -> ScheduleConfig {
        let Self { timesteps: steps, beta1: beta_start, beta2: beta_end } = *self;
        ScheduleConfig::Sprites { steps, beta_start, beta_end }
    }
}

/// Compares the three tables of the sprites notebook. Its entry 0 has no counterpart in [`Schedule`].
pub(crate) fn check_sprites(case: &Case) -> Result<Vec<Comparison>> {
    let config: Sprites = case.config()?;
    let schedule = config.config().build()?;
    let row = |key: &str, ours: Array1<f64>| -> Result<Comparison> {
        let theirs = case.tensor(key)?.f_narrow(0, 1, config.timesteps as i64)?;
        let distance = Distance::between(&tensor(&ours), &theirs, Tolerance::Relative(2e-7))?;
        Ok(case.row(key, Status::Compared(distance)))
    };
    Ok(vec![
        row("b_t", schedule.betas().clone())?,
        row("a_t", schedule.alphas())?,
        row("ab_t", schedule.alphas_cumprod().clone())?,
    ])
}

/// Compares the tables of improved-diffusion's SpacedDiffusion, which derives β from ᾱ even without
/// respacing.
pub(crate) fn check_improved(case: &Case) -> Result<Vec<Comparison>> {
    let config: improved::Schedule = case.config()?;
    let timesteps = config.spacing()?.timesteps(config.diffusion_steps)?;
    let schedule = config.full()?.build()?.respaced(&timesteps)?;

    let map: Vec<i64> = timesteps.iter().map(|&t| t as i64).collect();
    let mut rows =
        vec![case.compare("timestep_map", &Tensor::from_slice(&map), Tolerance::Exact)?];
    let mut tables = Vec::new();
    for (key, _) in case.weights.iter().filter(|(key, _)| *key != "timestep_map") {
        let ours = table(&schedule, key)
            .with_context(|| format!("{}: inkdrop has no table `{key}`", case.name))?;
        tables.push(case.compare(key, &tensor(&ours), Tolerance::Relative(1e-12))?);
    }
    rows.extend(summary(case, tables));
    Ok(rows)
}

/// Joins all tables within tolerance into one comparison; the others stay separate.
pub(crate) fn summary(case: &Case, tables: Vec<Comparison>) -> Vec<Comparison> {
    let count = tables.len();
    let (right, wrong): (Vec<Comparison>, Vec<Comparison>) =
        tables.into_iter().partition(Comparison::ok);
    let distances = right.iter().filter_map(|row| match row.status {
        Status::Compared(distance) => Some(distance),
        _ => None,
    });
    let worst = distances.reduce(Distance::worse);
    let what = format!("{} of {count} tables", right.len());
    let row = worst.map(|worst| case.row(what, Status::Compared(worst)));
    row.into_iter().chain(wrong).collect()
}

/// The table with improved-diffusion's name.
pub(crate) fn table(schedule: &Schedule, name: &str) -> Option<Array1<f64>> {
    Some(match name {
        "betas" => schedule.betas().clone(),
        "alphas_cumprod" => schedule.alphas_cumprod().clone(),
        "alphas_cumprod_prev" => schedule.alphas_cumprod_prev().clone(),
        "alphas_cumprod_next" => schedule.alphas_cumprod_next(),
        "sqrt_alphas_cumprod" => schedule.sqrt_alphas_cumprod(),
        "sqrt_one_minus_alphas_cumprod" => schedule.sqrt_one_minus_alphas_cumprod(),
        "log_one_minus_alphas_cumprod" => schedule.log_one_minus_alphas_cumprod(),
        "sqrt_recip_alphas_cumprod" => schedule.sqrt_recip_alphas_cumprod(),
        "sqrt_recipm1_alphas_cumprod" => schedule.sqrt_recipm1_alphas_cumprod(),
        "posterior_variance" => schedule.posterior_variance().clone(),
        "posterior_log_variance_clipped" => schedule.posterior_log_variance_clipped(),
        "posterior_mean_coef1" => schedule.posterior_mean_coef1().clone(),
        "posterior_mean_coef2" => schedule.posterior_mean_coef2().clone(),
        _ => return None,
    })
}

pub(crate) fn tensor(values: &Array1<f64>) -> Tensor {
    Tensor::from_slice(&values.to_vec())
}
