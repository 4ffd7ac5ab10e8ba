//! Two network calls a step: Heun's method, with or without fresh noise.

use inkdrop_process::{Prediction, Predictor};
use inkdrop_schedule::{Leg, Level, Path, Schedule};
use inkdrop_torch::NoiseSource;
use inkdrop_torch::tch::{Tensor, no_grad_guard};

use crate::step::{at, combine, draw, report};
use crate::{OnStep, SamplerError};

/// Heun's method on dx/dσ = ε: the mean of the slopes at both ends (Karras et al. 2022,
/// algorithm 1). The last step, to no noise, is Euler's; n steps take 2n − 1 network calls.
///
/// # Shapes
/// - x: [B, C, H, W], N(0, 1); returns images of the same shape
///
/// # Errors
/// The network cannot take x, or x stops being finite.
pub fn heun(
    model: &dyn Predictor,
    path: &Path,
    mut x: Tensor,
    on_step: &mut OnStep,
) -> Result<Tensor, SamplerError> {
    let _guard = no_grad_guard();
    for (i, leg) in path.legs().iter().enumerate() {
        let (next, first) = heun_step(model, leg, path.legs().get(i + 1), &x)?;
        x = next;
        report(path, i, &x, &first.x0, on_step)?;
    }
    Ok(x)
}

/// How much noise [`edm`] stirs in (Karras et al. 2022, algorithm 2), in their names.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Churn {
    /// S_churn: all noise that is stirred in, spread over the steps, each of which raises σ by at
    /// most a factor of √2; ≥ 0.
    pub churn: f64,
    /// S_tmin: no noise where σ is below this.
    pub min: f64,
    /// S_tmax: no noise where σ is above this.
    pub max: f64,
    /// S_noise: the deviation of the noise; 1 to 1.007.
    pub noise: f64,
}

impl Default for Churn {
    /// The numbers that they chose for ImageNet-64 (table 5), there with 256 steps; with fewer than
    /// 97 each step stirs in as much as it may.
    fn default() -> Self {
        Self { churn: 40.0, min: 0.05, max: 50.0, noise: 1.003 }
    }
}

/// EDM's stochastic sampler: each step first stirs noise in, then takes Heun's step from the
/// higher level (Karras et al. 2022, algorithm 2).
///
/// - schedule: the full process's, which says at which time it has the higher levels
///
/// # Shapes
/// - x: [B, C, H, W], N(0, 1); returns images of the same shape
///
/// # Errors
/// A churn below 0, the network cannot take x, the noise runs out, or x stops being finite.
pub fn edm(
    model: &dyn Predictor,
    schedule: &Schedule,
    path: &Path,
    mut x: Tensor,
    churn: Churn,
    noise: &mut dyn NoiseSource,
    on_step: &mut OnStep,
) -> Result<Tensor, SamplerError> {
    churn.check()?;
    let _guard = no_grad_guard();
    for (i, leg) in path.legs().iter().enumerate() {
        let sigma = leg.from.sigma();
        let gamma = churn.gamma(sigma, path.steps());
        let mut leg = *leg;
        if gamma > 0.0 {
            let higher = schedule.level_at_sigma(sigma * (1.0 + gamma));
            let added = churn.noise * (higher.sigma().powi(2) - sigma * sigma).max(0.0).sqrt();
            let ratio = higher.signal() / leg.from.signal();
            x = combine(&[(ratio, &x), (higher.signal() * added, &draw(noise, &x)?)])?;
            leg = Leg::new(higher, leg.to);
        }
        let (next, first) = heun_step(model, &leg, path.legs().get(i + 1), &x)?;
        x = next;
        report(path, i, &x, &first.x0, on_step)?;
    }
    Ok(x)
}

impl Churn {
    /// How much higher the level gets, as a share of σ.
    fn gamma(&self, sigma: f64, steps: usize) -> f64 {
        let most = std::f64::consts::SQRT_2 - 1.0;
        let stirs = (self.min..=self.max).contains(&sigma);
        if stirs { (self.churn / steps as f64).min(most) } else { 0.0 }
    }

    fn check(&self) -> Result<(), SamplerError> {
        if self.churn >= 0.0 && self.churn.is_finite() && self.noise > 0.0 && self.min <= self.max {
            return Ok(());
        }
        Err(SamplerError::Request {
            field: "churn",
            given: format!("{self:?}"),
            expected: "churn at least 0, noise above 0 and min at most max".into(),
        })
    }
}

/// Heun's step; the first of its two predictions.
fn heun_step(
    model: &dyn Predictor,
    leg: &Leg,
    next: Option<&Leg>,
    x: &Tensor,
) -> Result<(Tensor, Prediction), SamplerError> {
    let first = model.predict(x, leg)?;
    let euler = at(leg.to, &first)?;
    if leg.to.is_clean() {
        return Ok((euler, first));
    }
    let second = Leg::new(leg.to, next.map_or(Level::CLEAN, |next| next.to));
    let second = model.predict(&euler, &second)?;
    let half = leg.to.signal() * (leg.to.sigma() - leg.from.sigma()) / 2.0;
    let ratio = leg.to.signal() / leg.from.signal();
    let x = combine(&[(ratio, x), (half, &first.eps), (half, &second.eps)])?;
    Ok((x, first))
}
