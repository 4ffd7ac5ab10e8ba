//! One network call a step, on straight lines in σ.

use inkdrop_process::Predictor;
use inkdrop_schedule::Path;
use inkdrop_torch::NoiseSource;
use inkdrop_torch::tch::{Tensor, no_grad_guard};

use crate::ddim::check_eta;
use crate::step::{at, combine, draw, report};
use crate::{OnStep, SamplerError};

/// Euler's method on dx/dσ = ε (Karras et al. 2022, algorithm 1 without its second half); the
/// same step as DDIM with η = 0, so what differs is the path.
///
/// # Shapes
/// - x: [B, C, H, W], N(0, 1); returns images of the same shape
///
/// # Errors
/// The network cannot take x, or x stops being finite.
pub fn euler(
    model: &dyn Predictor,
    path: &Path,
    mut x: Tensor,
    on_step: &mut OnStep,
) -> Result<Tensor, SamplerError> {
    let _guard = no_grad_guard();
    for (i, leg) in path.legs().iter().enumerate() {
        let prediction = model.predict(&x, leg)?;
        x = at(leg.to, &prediction)?;
        report(path, i, &x, &prediction.x0, on_step)?;
    }
    Ok(x)
}

/// Euler's method to less noise than the step's end has, and fresh noise up to it: k-diffusion's
/// `sample_euler_ancestral`; with η = 1 the split of DDPM's posterior (Ho et al. 2020, eq. 7).
///
/// - eta: the share of fresh noise, 0 (Euler) to 1
///
/// # Shapes
/// - x: [B, C, H, W], N(0, 1); returns images of the same shape
///
/// # Errors
/// η outside 0 to 1, the network cannot take x, the noise runs out, or x stops being finite.
pub fn euler_ancestral(
    model: &dyn Predictor,
    path: &Path,
    mut x: Tensor,
    eta: f64,
    noise: &mut dyn NoiseSource,
    on_step: &mut OnStep,
) -> Result<Tensor, SamplerError> {
    check_eta(eta)?;
    let _guard = no_grad_guard();
    for (i, leg) in path.legs().iter().enumerate() {
        let prediction = model.predict(&x, leg)?;
        let (from, to) = (leg.from.sigma(), leg.to.sigma());
        let up = (eta * to * (1.0 - (to / from).powi(2)).max(0.0).sqrt()).min(to);
        let down = (to * to - up * up).max(0.0).sqrt();
        let signal = leg.to.signal();
        x = combine(&[(signal, &prediction.x0), (signal * down, &prediction.eps)])?;
        if up > 0.0 {
            x = x.f_add(&draw(noise, &x)?.f_mul_scalar(signal * up)?)?;
        }
        report(path, i, &x, &prediction.x0, on_step)?;
    }
    Ok(x)
}
