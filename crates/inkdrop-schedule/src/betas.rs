//! The named schedules: how much noise each step adds.

use ndarray::Array1;
use serde::{Deserialize, Serialize};

use crate::{Schedule, ScheduleError};

/// A noise schedule by name, as configs spell it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case", deny_unknown_fields)]
pub enum ScheduleConfig {
    /// The sprites notebook's: `steps + 1` betas on a straight line in f32;
    /// step t of 1..=steps uses entry t.
    Sprites {
        /// T, the number of steps.
        steps: usize,
        /// β at entry 0.
        beta_start: f64,
        /// β at entry T.
        beta_end: f64,
    },
    /// Ho et al. 2020, scaled to any T: β from 0.1/T to 20/T.
    Linear {
        /// T, the number of steps.
        steps: usize,
    },
    /// Nichol & Dhariwal 2021, eq. 17: ᾱ follows a squared cosine, β ≤ 0.999.
    Cosine {
        /// T, the number of steps.
        steps: usize,
    },
}

/// Longer processes are mistakes, and would not fit into memory.
const MAX_STEPS: usize = 1_000_000;

impl ScheduleConfig {
    /// The sprites notebook's own numbers: T = 500, β from 1e-4 to 0.02.
    pub const SPRITES: Self = Self::Sprites { steps: 500, beta_start: 1e-4, beta_end: 0.02 };

    /// T, the number of steps.
    pub fn steps(&self) -> usize {
        match *self {
            Self::Sprites { steps, .. } | Self::Linear { steps } | Self::Cosine { steps } => steps,
        }
    }

    /// The schedule with all derived tables.
    ///
    /// # Errors
    /// No steps, or a β outside (0, 1).
    pub fn build(&self) -> Result<Schedule, ScheduleError> {
        if !(1..=MAX_STEPS).contains(&self.steps()) {
            return Err(ScheduleError::NoSteps(self.steps()));
        }
        match *self {
            Self::Sprites { steps, beta_start, beta_end } => sprites(steps, beta_start, beta_end),
            Self::Linear { steps } => Schedule::from_betas(linear(steps)),
            Self::Cosine { steps } => Schedule::from_betas(cosine(steps)),
        }
    }
}

/// β_i from s·1e-4 to s·0.02 with s = 1000/T.
fn linear(steps: usize) -> Array1<f64> {
    let scale = 1000.0 / steps as f64;
    let (start, end) = (scale * 1e-4, scale * 0.02);
    let stride = if steps > 1 { (end - start) / (steps - 1) as f64 } else { 0.0 };
    let mut betas = Array1::from_shape_fn(steps, |i| start + stride * i as f64);
    if steps > 1 {
        betas[steps - 1] = end;
    }
    betas
}

/// β_i = min(1 − ᾱ((i+1)/T)/ᾱ(i/T), 0.999), ᾱ(u) = cos²((u + 0.008)/1.008·π/2).
fn cosine(steps: usize) -> Array1<f64> {
    let alpha_bar = |u: f64| ((u + 0.008) / 1.008 * std::f64::consts::FRAC_PI_2).cos().powi(2);
    let at = |i: usize| alpha_bar(i as f64 / steps as f64);
    Array1::from_shape_fn(steps, |i| (1.0 - at(i + 1) / at(i)).min(0.999))
}

/// The notebook's tables from its f32 betas, entry 0 left out.
///
/// Entry 0's β is part of every later ᾱ while ᾱ_0 itself is set to 1, so the
/// first kept step breaks ᾱ_t = ᾱ_{t−1}·α_t.
fn sprites(steps: usize, start: f64, end: f64) -> Result<Schedule, ScheduleError> {
    let (span, start) = ((end - start) as f32, start as f32);
    let beta = |i: usize| span * unit_linspace(i, steps) + start;
    let mut log_sum = 0.0;
    let mut betas = Vec::with_capacity(steps + 1);
    let mut alphas_cumprod = Vec::with_capacity(steps + 1);
    for i in 0..=steps {
        log_sum += f64::from(1.0 - beta(i)).ln();
        betas.push(f64::from(beta(i)));
        alphas_cumprod.push(stored_sum(log_sum).exp());
    }
    Schedule::from_parts(betas[1..].to_vec().into(), alphas_cumprod[1..].to_vec().into())
}

/// The running sum of ln α as the notebook stores it: in f32.
///
/// Which way an entry near a tie rounds depends on the machine's logarithm
/// (torch itself differs from machine to machine). Below 4 either way moves ᾱ
/// by at most 1.2e-7, so the exact sum is nearest to all machines; above, the
/// rounding moves ᾱ by more, so we round.
fn stored_sum(sum: f64) -> f64 {
    if sum.abs() < 4.0 { sum } else { f64::from(sum as f32) }
}

/// Entry i of `linspace(0, 1, steps + 1)` in f32: counted from the nearer end.
fn unit_linspace(i: usize, steps: usize) -> f32 {
    let stride = 1.0f32 / steps as f32;
    if i < steps.div_ceil(2) { stride * i as f32 } else { 1.0 - stride * (steps - i) as f32 }
}
