//! Bits per dimension, step by step, with recorded noise.

use anyhow::{Context, Result};
use inkdrop_nn::Conditioning;
use inkdrop_process::{BitsPerDim, Process, bits_per_dim};
use inkdrop_torch::tch::Kind;

use crate::improved::Improved;
use crate::report::Tolerance;
use crate::standin::{Form, StandIn};
use crate::{Case, Row};

pub(crate) fn check(case: &Case) -> Result<Vec<Row>> {
    let config: Improved = case.config()?;
    let process = config.process().with_context(|| case.name.clone())?;
    let mut rows = compare(case, &process, Kind::Float, Tolerance::Scaled(2e-5), "")?;
    rows.extend(compare(case, &process, Kind::Double, Tolerance::Scaled(1e-6), " in f64")?);
    Ok(rows)
}

fn compare(
    case: &Case,
    process: &Process,
    kind: Kind,
    tolerance: Tolerance,
    note: &str,
) -> Result<Vec<Row>> {
    let network = StandIn::of(&case.weights.below("weight:"), Form::Plain, kind)?;
    let x0 = case.tensor("x_start")?.f_to_kind(kind)?;
    let conditioning = Conditioning::none();
    let ours = bits_per_dim(process, &network, &x0, &conditioning, &mut case.noise()?)?;
    let BitsPerDim { total, prior, bound, x0_mse, eps_mse } = &ours;
    let metrics = [
        ("total_bpd", total),
        ("prior_bpd", prior),
        ("vb", bound),
        ("xstart_mse", x0_mse),
        ("mse", eps_mse),
    ];
    let row = |(key, ours)| Ok(case.compare(key, ours, tolerance)?.noted(note));
    metrics.into_iter().map(row).collect()
}
