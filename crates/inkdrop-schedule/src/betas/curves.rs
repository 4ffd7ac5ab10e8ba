//! β as a function of the step.

use ndarray::Array1;

use crate::{ScheduleError, error::require, linspace::linspace};

/// No step of the schedules that are given by their ᾱ takes away more than this.
const MAX_BETA: f64 = 0.999;

/// β_i on a straight line, from s·1e-4 to s·0.02 with s = 1000/T by default.
pub(super) fn linear(
    steps: usize,
    start: Option<f64>,
    end: Option<f64>,
) -> Result<Array1<f64>, ScheduleError> {
    let scale = 1000.0 / steps as f64;
    let (start, end) = (start.unwrap_or(scale * 1e-4), end.unwrap_or(scale * 0.02));
    finite(&[("beta_start", start), ("beta_end", end)])?;
    Ok(Array1::from_shape_fn(steps, linspace(start, end, steps)))
}

/// √β_i on a straight line.
pub(super) fn scaled_linear(
    steps: usize,
    start: f64,
    end: f64,
) -> Result<Array1<f64>, ScheduleError> {
    finite(&[("beta_start", start), ("beta_end", end)])?;
    // Below 0 there is no root.
    for (index, value) in [(0, start), (steps - 1, end)] {
        if value <= 0.0 {
            return Err(ScheduleError::Beta { index, value });
        }
    }
    let root = linspace(start.sqrt(), end.sqrt(), steps);
    Ok(Array1::from_shape_fn(steps, |i| root(i).powi(2)))
}

/// β_i = start + (end − start)/(1 + e^(−u_i)), u from −6 to 6.
pub(super) fn sigmoid(steps: usize, start: f64, end: f64) -> Result<Array1<f64>, ScheduleError> {
    finite(&[("beta_start", start), ("beta_end", end)])?;
    let u = linspace(-6.0, 6.0, steps);
    Ok(Array1::from_shape_fn(steps, |i| (end - start) / (1.0 + (-u(i)).exp()) + start))
}

/// β_i = min(1 − ᾱ((i+1)/T)/ᾱ(i/T), 0.999), ᾱ(u) = cos²((u + 0.008)/1.008·π/2).
pub(super) fn cosine(steps: usize) -> Array1<f64> {
    let alpha_bar = |u: f64| ((u + 0.008) / 1.008 * std::f64::consts::FRAC_PI_2).cos().powi(2);
    let at = |i: usize| alpha_bar(i as f64 / steps as f64);
    let mut before = at(0);
    Array1::from_shape_fn(steps, |i| {
        let bar = at(i + 1);
        let beta = (1.0 - bar / before).min(MAX_BETA);
        before = bar;
        beta
    })
}

/// β_i = min(1 − ᾱ(x_{i+1})/ᾱ(x_i), 0.999), x from start/τ to end/τ,
/// ᾱ(x) = (σ(x_T) − σ(x))/(σ(x_T) − σ(x_0)) with the logistic function σ.
///
/// The difference is σ(x_T)·(1 − e^(x − x_T))/(1 + e^x), which loses no digits
/// near the end; what does not depend on x cancels in the ratio.
pub(super) fn sigmoid_cumprod(
    steps: usize,
    start: f64,
    end: f64,
    tau: f64,
) -> Result<Array1<f64>, ScheduleError> {
    check_cumprod(start, end, tau)?;
    let last = end / tau;
    let at = |i: usize| {
        let x = (i as f64 / steps as f64 * (end - start) + start) / tau;
        let x = if i == steps { last } else { x };
        -(x - last).exp_m1() / (1.0 + x.exp())
    };
    let beta = |i: usize| 1.0 - at(i + 1) / at(i);
    // Not f64::min, which would take 0.999 for a NaN.
    Ok(Array1::from_shape_fn(steps, |i| if beta(i) > MAX_BETA { MAX_BETA } else { beta(i) }))
}

fn check_cumprod(start: f64, end: f64, tau: f64) -> Result<(), ScheduleError> {
    finite(&[("start", start), ("end", end)])?;
    require(tau > 0.0 && tau.is_finite(), "tau", tau, "a finite number above 0")?;
    if start >= end {
        return Err(ScheduleError::Order { low: ("start", start), high: ("end", end) });
    }
    // e^x must be finite.
    require(end / tau <= 700.0, "end", end, "at most 700 times tau")
}

fn finite(fields: &[(&'static str, f64)]) -> Result<(), ScheduleError> {
    fields
        .iter()
        .try_for_each(|&(name, value)| require(value.is_finite(), name, value, "a finite number"))
}
