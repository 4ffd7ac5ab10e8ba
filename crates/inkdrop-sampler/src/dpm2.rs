//! Two network calls a step: the slope at the middle.

use inkdrop_process::Predictor;
use inkdrop_schedule::{Leg, Path, Schedule};
use inkdrop_torch::tch::{Tensor, no_grad_guard};

use crate::step::{at, combine, report};
use crate::{OnStep, SamplerError};

/// DPM-Solver-2: half a step in ln σ, and the whole step with the slope from there (Lu et al.
/// 2022, algorithm 1, in the form of Karras et al. 2022 and k-diffusion's `sample_dpm_2`). The
/// last step, to no noise, is Euler's; n steps take 2n − 1 network calls.
///
/// - schedule: the full process's, which says at which time it has the middle levels
///
/// # Shapes
/// - x: [B, C, H, W], N(0, 1); returns images of the same shape
///
/// # Errors
/// The network cannot take x, or x stops being finite.
pub fn dpm_solver_2(
    model: &dyn Predictor,
    schedule: &Schedule,
    path: &Path,
    mut x: Tensor,
    on_step: &mut OnStep,
) -> Result<Tensor, SamplerError> {
    let _guard = no_grad_guard();
    for (i, leg) in path.legs().iter().enumerate() {
        let first = model.predict(&x, leg)?;
        x = if leg.to.is_clean() {
            at(leg.to, &first)?
        } else {
            let (from, to) = (leg.from.sigma(), leg.to.sigma());
            let middle = schedule.level_at_sigma((from * to).sqrt());
            let slope = model.predict(&at(middle, &first)?, &Leg::new(middle, leg.to))?.eps;
            let signal = leg.to.signal();
            combine(&[(signal / leg.from.signal(), &x), (signal * (to - from), &slope)])?
        };
        report(path, i, &x, &first.x0, on_step)?;
    }
    Ok(x)
}
