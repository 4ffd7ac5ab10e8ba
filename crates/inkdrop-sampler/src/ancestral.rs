//! Ancestral sampling, the reverse process as it was first written.

use inkdrop_process::Predictor;
use inkdrop_schedule::Path;
use inkdrop_torch::NoiseSource;
use inkdrop_torch::tch::{Tensor, no_grad_guard};

use crate::step::{draw, report};
use crate::{OnStep, SamplerError};

/// DDPM: x_{t−1} = mean of q(x_{t−1} | x_t, x0) + σ·z, no noise in the last step
/// (Ho et al. 2020, algorithm 2), with the variance that the process says or the network learned.
///
/// # Shapes
/// - x: [B, C, H, W], N(0, 1); returns images of the same shape
///
/// # Errors
/// The network cannot take x, the noise runs out, or x stops being finite.
pub fn ddpm(
    model: &dyn Predictor,
    path: &Path,
    mut x: Tensor,
    noise: &mut dyn NoiseSource,
    on_step: &mut OnStep,
) -> Result<Tensor, SamplerError> {
    let _guard = no_grad_guard();
    for (i, leg) in path.legs().iter().enumerate() {
        let prediction = model.predict(&x, leg)?;
        let mut next = prediction.step_mean(&x, leg)?;
        if !leg.to.is_clean() {
            let deviation = prediction.log_variance.f_mul_scalar(0.5)?.f_exp()?;
            next = next.f_add(&draw(noise, &x)?.f_mul(&deviation)?)?;
        }
        x = next;
        report(path, i, &x, &prediction.x0, on_step)?;
    }
    Ok(x)
}
