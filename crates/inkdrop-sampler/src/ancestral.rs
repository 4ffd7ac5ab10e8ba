//! Ancestral sampling, the reverse process as it was first written.

use inkdrop_process::Predictor;
use inkdrop_torch::NoiseSource;
use inkdrop_torch::tch::{Tensor, no_grad_guard};

use crate::step::report;
use crate::{OnStep, SamplerError};

/// DDPM: x_{t−1} = mean of q(x_{t−1} | x_t, x0) + σ·z, no noise in the last step
/// (Ho et al. 2020, algorithm 2).
///
/// # Shapes
/// - x: [B, C, H, W], N(0, 1); returns images of the same shape
///
/// # Errors
/// The network cannot take x, the noise runs out, or x stops being finite.
pub fn ddpm(
    model: &dyn Predictor,
    mut x: Tensor,
    noise: &mut dyn NoiseSource,
    on_step: &mut OnStep,
) -> Result<Tensor, SamplerError> {
    let _guard = no_grad_guard();
    let process = model.process();
    let schedule = process.schedule();
    for index in (0..schedule.steps()).rev() {
        let x0 = model.predict(&x, index)?.x0;
        let from_x0 = x0.f_mul_scalar(schedule.posterior_mean_coef1()[index])?;
        let mut next = x.f_mul_scalar(schedule.posterior_mean_coef2()[index])?.f_add(&from_x0)?;
        if index > 0 {
            let z = noise.normal(&x.size(), x.device())?.f_to_kind(x.kind())?;
            next = next.f_add(&z.f_mul_scalar(process.ancestral_std(index))?)?;
        }
        x = next;
        report(index, schedule.steps(), &x, &x0, on_step)?;
    }
    Ok(x)
}
