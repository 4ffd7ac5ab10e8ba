//! Sampling along the same marginals with less or no noise, and back.

use inkdrop_process::Predictor;
use inkdrop_schedule::{Leg, Level, Path};
use inkdrop_torch::NoiseSource;
use inkdrop_torch::tch::{Tensor, no_grad_guard};

use crate::step::{at, combine, draw, report};
use crate::{OnStep, SamplerError};

/// DDIM: x_{t−1} = √ᾱ_prev·x0 + √(1−ᾱ_prev−σ²)·ε + σ·z with σ = η·√(posterior variance)
/// (Song et al. 2020, eq. 12 and 16).
///
/// - eta: 0 (no noise is drawn) to 1 (DDPM with the smaller variance)
///
/// # Shapes
/// - x: [B, C, H, W], N(0, 1); returns images of the same shape
///
/// # Errors
/// η outside 0 to 1, the network cannot take x, the noise runs out, or x stops being finite.
pub fn ddim(
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
        // From both ends, whatever β a schedule gives the step.
        let variance = Leg::new(leg.from, leg.to).posterior_variance() * eta.powi(2);
        let direction = (1.0 - leg.to.alpha_cumprod - variance).max(0.0).sqrt();
        let terms = [(leg.to.signal(), &prediction.x0), (direction, &prediction.eps)];
        x = combine(&terms)?;
        if variance > 0.0 {
            x = x.f_add(&draw(noise, &x)?.f_mul_scalar(variance.sqrt())?)?;
        }
        report(path, i, &x, &prediction.x0, on_step)?;
    }
    Ok(x)
}

/// How an image is taken back to noise.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Inversion {
    /// Where to end: the path's start, where [`ddim`] begins, or further.
    pub end: Level,
    /// How often each step is solved anew so that DDIM's own step leads back from its end, one
    /// network call each; 0 takes each step once, as improved-diffusion does. The latter is
    /// off by the step's size, the former exact where it converges.
    pub refine: usize,
}

/// DDIM backwards, from an image to the noise that it comes from (Song et al. 2020, section 4.3):
/// at each level the same x0 and ε, with more noise.
///
/// - path: the one that leads from that noise to the image
///
/// # Shapes
/// - x: images, [B, C, H, W]; returns x at the end's level
///
/// # Errors
/// The network cannot take x, or x stops being finite.
pub fn ddim_inversion(
    model: &dyn Predictor,
    path: &Path,
    mut x: Tensor,
    inversion: Inversion,
    on_step: &mut OnStep,
) -> Result<Tensor, SamplerError> {
    let _guard = no_grad_guard();
    // What is solved backwards is divided by the signal.
    let (path, end) = match inversion.refine {
        0 => (path.clone(), inversion.end),
        _ => (path.with_signal(), inversion.end.with_signal()),
    };
    let (path, legs) = (&path, path.legs());
    if inversion.refine > 0 {
        // What is taken for the first level must be at it.
        x = solve_back(model, &legs[legs.len() - 1], &x, &x, inversion.refine)?;
    }
    for i in (0..legs.len()).rev() {
        let end = if i == 0 { end } else { legs[i - 1].from };
        if end.alpha_cumprod >= legs[i].from.alpha_cumprod {
            continue;
        }
        let prediction = model.predict(&x, &legs[i])?;
        let guess = at(end, &prediction)?;
        x = match inversion.refine {
            0 => guess,
            times if i > 0 => solve_back(model, &legs[i - 1], &x, &guess, times)?,
            times => solve_back(model, &Leg::new(end, legs[i].from), &x, &guess, times)?,
        };
        report(path, i, &x, &prediction.x0, on_step)?;
    }
    Ok(x)
}

/// The x at a leg's start from which DDIM leads to `to`, by fixed-point iteration from a guess.
fn solve_back(
    model: &dyn Predictor,
    leg: &Leg,
    to: &Tensor,
    guess: &Tensor,
    times: usize,
) -> Result<Tensor, SamplerError> {
    let ratio = leg.to.signal() / leg.from.signal();
    let of_eps = leg.to.noise() - ratio * leg.from.noise();
    let mut x = guess.shallow_clone();
    for _ in 0..times {
        let eps = model.predict(&x, leg)?.eps;
        x = combine(&[(1.0 / ratio, to), (-of_eps / ratio, &eps)])?;
    }
    Ok(x)
}

/// η between DDIM and DDPM.
pub(crate) fn check_eta(eta: f64) -> Result<(), SamplerError> {
    if (0.0..=1.0).contains(&eta) {
        return Ok(());
    }
    Err(SamplerError::Request {
        field: "eta",
        given: eta.to_string(),
        expected: "0 (no noise) to 1 (as much as DDPM)".into(),
    })
}
