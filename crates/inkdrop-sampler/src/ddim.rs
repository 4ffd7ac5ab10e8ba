//! Deterministic sampling along the same marginals.

use inkdrop_process::{Prediction, Predictor};
use inkdrop_torch::tch::{Tensor, no_grad_guard};

use crate::step::report;
use crate::{OnStep, SamplerError};

/// DDIM with η = 0: x_{t−1} = √ᾱ_prev·x0 + √(1−ᾱ_prev)·ε (Song et al. 2020, eq. 12).
///
/// # Shapes
/// - x: [B, C, H, W], N(0, 1); returns images of the same shape
///
/// # Errors
/// The network cannot take x, or x stops being finite.
pub fn ddim(
    model: &dyn Predictor,
    mut x: Tensor,
    on_step: &mut OnStep,
) -> Result<Tensor, SamplerError> {
    let _guard = no_grad_guard();
    let schedule = model.process().schedule();
    for index in (0..schedule.steps()).rev() {
        let Prediction { x0, eps } = model.predict(&x, index)?;
        let prev = schedule.alphas_cumprod_prev()[index];
        x = x0.f_mul_scalar(prev.sqrt())?.f_add(&eps.f_mul_scalar((1.0 - prev).sqrt())?)?;
        report(index, schedule.steps(), &x, &x0, on_step)?;
    }
    Ok(x)
}
