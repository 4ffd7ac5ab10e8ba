//! Guidance: denoisers that wrap other denoisers.

use inkdrop_process::{Denoiser, Prediction, PredictionType, ProcessError};
use inkdrop_schedule::SolverStep;
use inkdrop_torch::TorchError;
use inkdrop_torch::tch::{Kind, Tensor, with_grad};

/// Guidance interval: the range of σ = √((1−ᾱ)/ᾱ) in which guidance acts (Kynkäänniemi et al. 2024).
/// Outside it, only the conditional model is evaluated.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GuidanceInterval {
    /// No guidance at or below this σ; 0 guides to the end.
    pub low: f64,
    /// No guidance above this σ; infinite guides from the start.
    pub high: f64,
}

impl GuidanceInterval {
    /// All noise levels.
    pub const ALL: Self = Self { low: 0.0, high: f64::INFINITY };

    fn contains(&self, sigma: f64) -> bool {
        sigma > self.low && sigma <= self.high
    }
}

/// Classifier-free guidance: ε = ε_uncond + scale·(ε_cond − ε_uncond) (Ho & Salimans 2022).
///
/// With a weaker model of the same kind as `uncond` it is autoguidance (Karras et al. 2024). Neither
/// denoiser should clip its prediction; wrap the result in [`ClipDenoised`] or [`DynamicThresholding`].
#[derive(Debug)]
pub struct ClassifierFreeGuidance<C, U> {
    cond: C,
    uncond: U,
    scale: f64,
    interval: GuidanceInterval,
    rescale: f64,
    rescaled_variable: PredictionType,
}

impl<C: Denoiser, U: Denoiser> ClassifierFreeGuidance<C, U> {
    /// - cond: the conditional denoiser, or the better model
    /// - uncond: the unconditional denoiser, or the weaker model
    /// - scale: guidance scale; 0 is `uncond` alone, 1 is `cond` alone, more extrapolates
    pub fn new(cond: C, uncond: U, scale: f64) -> Self {
        let (interval, rescaled_variable) = (GuidanceInterval::ALL, PredictionType::Epsilon);
        Self { cond, uncond, scale, interval, rescale: 0.0, rescaled_variable }
    }

    /// Limits guidance to an interval of σ.
    pub fn interval(self, interval: GuidanceInterval) -> Self {
        Self { interval, ..self }
    }

    /// Rescales the guided prediction to the standard deviation of `cond`, per image (Lin et al. 2023,
    /// section 3.4). An image for which either is 0 is not rescaled.
    ///
    /// - rescale: φ, 0 (off) to 1 (full); the paper uses 0.7
    /// - variable: the prediction type of the networks, whose standard deviation is kept
    ///   (`PosteriorMean` is treated as `Sample`); the paper uses v
    pub fn rescale(self, rescale: f64, variable: PredictionType) -> Self {
        Self { rescale, rescaled_variable: variable, ..self }
    }

    /// The guided value, with the standard deviation of `cond` by a fraction φ.
    fn rescaled(&self, cond: &Tensor, uncond: &Tensor) -> Result<Tensor, ProcessError> {
        let guided = lerp(uncond, cond, self.scale)?;
        let factor = per_image_std(cond)?.f_div(&per_image_std(&guided)?)?;
        // 0/0 and x/0 where a prediction is flat, as of an untrained network: such an image is kept.
        let spread = factor.f_isfinite()?.f_logical_and(&factor.f_gt(0)?)?;
        let factor = factor.f_where_self(&spread, &factor.f_ones_like()?)?;
        let factor = factor.f_mul_scalar(self.rescale)?.f_add_scalar(1.0 - self.rescale)?;
        Ok(guided.f_mul(&factor)?)
    }
}

impl<C: Denoiser, U: Denoiser> Denoiser for ClassifierFreeGuidance<C, U> {
    fn denoise(&self, x: &Tensor, step: &SolverStep) -> Result<Prediction, ProcessError> {
        let cond = self.cond.denoise(x, step)?;
        if self.scale == 1.0 || !self.interval.contains(step.from.sigma()) {
            return Ok(cond);
        }
        // Two passes, not one of twice the batch: on the CPU one pass would gain nothing.
        let uncond = self.uncond.denoise(x, step)?;
        if self.rescale == 0.0 {
            // Interpolating both x0 and ε avoids a division by √ᾱ, which may be 0.
            let x0 = lerp(&uncond.x0, &cond.x0, self.scale)?;
            let eps = lerp(&uncond.eps, &cond.eps, self.scale)?;
            return Ok(Prediction { x0, eps, mean: None, ..cond });
        }
        match self.rescaled_variable {
            PredictionType::Epsilon => {
                let eps = self.rescaled(&cond.eps, &uncond.eps)?;
                cond.with_eps(eps, x, step)
            }
            PredictionType::Sample | PredictionType::PosteriorMean => {
                let x0 = self.rescaled(&cond.x0, &uncond.x0)?;
                cond.with_x0(x0, x, step)
            }
            PredictionType::Velocity => {
                let v = self.rescaled(&cond.v(step)?, &uncond.v(step)?)?;
                let x0 = x.f_mul_scalar(step.from.signal())?;
                let x0 = x0.f_sub(&v.f_mul_scalar(step.from.noise())?)?;
                cond.with_x0(x0, x, step)
            }
        }
    }
}

/// Linear interpolation from a to b; weights above 1 extrapolate.
fn lerp(a: &Tensor, b: &Tensor, weight: f64) -> Result<Tensor, ProcessError> {
    Ok(b.f_sub(a)?.f_mul_scalar(weight)?.f_add(a)?)
}

/// Standard deviation of each image, [B, 1, …].
fn per_image_std(x: &Tensor) -> Result<Tensor, TorchError> {
    let axes: Vec<i64> = (1..x.dim() as i64).collect();
    Ok(x.f_std_dim(Some(&axes[..]), true, true)?)
}

/// Classifier guidance: ε − scale·√(1−ᾱ)·∇ log p(y | x) (Dhariwal & Nichol 2021, algorithm 2).
///
/// Where x is pure noise (zero terminal SNR) the gradient is 0 and the classifier is not evaluated.
pub struct ClassifierGuidance<D, F> {
    denoiser: D,
    log_probability: F,
    scale: f64,
}

impl<D, F> ClassifierGuidance<D, F>
where
    D: Denoiser,
    F: Fn(&Tensor, f64) -> Result<Tensor, ProcessError>,
{
    /// - log_probability: ln p(y | x) of each image, `[B]`, for noisy x [B, C, H, W] at a timestep
    ///   (0 to T − 1); its gradient with respect to x is computed by autograd
    /// - scale: guidance scale; 0 is none, 1 is Bayes' rule
    pub fn new(denoiser: D, log_probability: F, scale: f64) -> Self {
        Self { denoiser, log_probability, scale }
    }

    fn gradient(&self, x: &Tensor, timestep: f64) -> Result<Tensor, ProcessError> {
        with_grad(|| {
            let x = x.f_detach()?.f_set_requires_grad(true)?;
            let log = (self.log_probability)(&x, timestep)?.f_sum(Kind::Float)?;
            let gradients = Tensor::f_run_backward(&[log], &[x], false, false)?;
            Ok(gradients
                .into_iter()
                .next()
                .ok_or_else(|| TorchError::message("no gradient".into()))?)
        })
    }
}

impl<D, F> Denoiser for ClassifierGuidance<D, F>
where
    D: Denoiser,
    F: Fn(&Tensor, f64) -> Result<Tensor, ProcessError>,
{
    fn denoise(&self, x: &Tensor, step: &SolverStep) -> Result<Prediction, ProcessError> {
        let prediction = self.denoiser.denoise(x, step)?;
        if step.from.alpha_cumprod == 0.0 {
            return Ok(prediction);
        }
        let gradient = self.gradient(x, step.from.timestep)?;
        let shift = gradient.f_mul_scalar(self.scale * step.from.noise())?;
        let eps = prediction.eps.f_sub(&shift)?;
        prediction.with_eps(eps, x, step)
    }
}

/// Clips the predicted x0 to [−1, 1] and recomputes ε (`clip_denoised` of improved-diffusion).
#[derive(Debug)]
pub struct ClipDenoised<D>(pub D);

impl<D: Denoiser> Denoiser for ClipDenoised<D> {
    fn denoise(&self, x: &Tensor, step: &SolverStep) -> Result<Prediction, ProcessError> {
        self.0.denoise(x, step)?.clipped(x, step)
    }
}

/// Dynamic thresholding: clips the predicted x0 to a threshold, a quantile of its absolute values but at
/// least 1, and divides it by the threshold, which prevents saturation under strong guidance (Saharia et al. 2022, section 2.3).
#[derive(Debug)]
pub struct DynamicThresholding<D> {
    denoiser: D,
    quantile: f64,
    max_value: f64,
}

impl<D: Denoiser> DynamicThresholding<D> {
    /// - quantile: 0 to 1; the paper uses 0.995
    pub fn new(denoiser: D, quantile: f64) -> Self {
        Self { denoiser, quantile, max_value: f64::INFINITY }
    }

    /// Upper bound of the threshold, at least 1 (`sample_max_value` of diffusers).
    pub fn max_value(self, max_value: f64) -> Self {
        Self { max_value, ..self }
    }
}

impl<D: Denoiser> Denoiser for DynamicThresholding<D> {
    fn denoise(&self, x: &Tensor, step: &SolverStep) -> Result<Prediction, ProcessError> {
        let prediction = self.denoiser.denoise(x, step)?;
        let kind = if x.kind() == Kind::Double { Kind::Double } else { Kind::Float };
        let absolute = prediction.x0.f_abs()?.f_flatten(1, -1)?.f_to_kind(kind)?;
        let threshold = absolute.f_quantile_scalar(self.quantile, Some(1), false, "linear")?;
        let threshold = threshold.f_clamp(1.0, self.max_value.max(1.0))?;
        let mut shape = vec![1i64; x.dim()];
        shape[0] = -1;
        let threshold = threshold.f_view(&shape[..])?.f_to_kind(x.kind())?;
        let x0 = prediction.x0.f_clamp_tensor(Some(&threshold.f_neg()?), Some(&threshold))?;
        prediction.with_x0(x0.f_div(&threshold)?, x, step)
    }
}
