//! The sprites notebook's tables.

use crate::{Schedule, ScheduleError};

/// The notebook's tables from its f32 betas, entry 0 left out.
///
/// Entry 0's β is part of every later ᾱ while ᾱ_0 itself is set to 1, so the
/// first kept step breaks ᾱ_t = ᾱ_{t−1}·α_t.
pub(super) fn sprites(steps: usize, start: f64, end: f64) -> Result<Schedule, ScheduleError> {
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
