//! Single layers.

use anyhow::Result;
use inkdrop_nn::{positional_embedding, timestep_embedding};
use serde::Deserialize;

use crate::report::Tolerance;
use crate::{Case, Row};

const TOLERANCE: Tolerance = Tolerance::Scaled(2e-5);

#[derive(Debug, Deserialize)]
struct Positional {
    dim: i64,
    scale: f64,
}

pub(crate) fn check_positional(case: &Case) -> Result<Vec<Row>> {
    let config: Positional = case.config()?;
    let t = case.tensor("t")?;
    let whole = positional_embedding(t, config.dim, config.scale)?;
    let mut rows = vec![case.compare("out", &whole, TOLERANCE)?];
    if case.weights.get("out_scale_half").is_some() {
        let half = positional_embedding(t, config.dim, config.scale * 0.5)?;
        rows.push(case.compare("out_scale_half", &half, TOLERANCE)?);
    }
    Ok(rows)
}

#[derive(Debug, Deserialize)]
struct Timestep {
    even: i64,
    odd: i64,
    period_100: Period,
}

#[derive(Debug, Deserialize)]
struct Period {
    dim: i64,
    max_period: f64,
}

pub(crate) fn check_timestep(case: &Case) -> Result<Vec<Row>> {
    let config: Timestep = case.config()?;
    let t = case.tensor("t")?;
    let Period { dim, max_period } = config.period_100;
    let row = |key, dim, max_period| {
        case.compare(key, &timestep_embedding(t, dim, max_period)?, TOLERANCE)
    };
    Ok(vec![
        row("out_even", config.even, 10000.0)?,
        row("out_odd", config.odd, 10000.0)?,
        row("out_period_100", dim, max_period)?,
    ])
}
