//! Guidance: denoisers that wrap other denoisers.

use inkdrop_process::{Denoiser, NetworkOutput, Prediction, ProcessError};
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

/// How guidance combines the outputs of two denoisers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GuidanceRule {
    /// Guidance scale; 0 is the unconditional output alone, 1 the conditional one, more extrapolates.
    pub scale: f64,
    /// Part that is kept of the guidance parallel to the conditional output, image by image: 1 (all) to 0
    /// (none), which prevents saturation (adaptive projected guidance, Sadat et al. 2024, section 4).
    pub parallel: f64,
    /// φ: the standard deviation of each image becomes that of the conditional output by this fraction,
    /// 0 (off) to 1 (full) (Lin et al. 2023, section 3.4). An image for which either is 0 is kept.
    pub rescale: f64,
}

impl GuidanceRule {
    /// Plain guidance with this scale.
    pub fn new(scale: f64) -> Self {
        Self { scale, parallel: 1.0, rescale: 0.0 }
    }

    /// True for cond and uncond in a fixed proportion, whatever their values.
    fn is_linear(&self) -> bool {
        self.parallel == 1.0 && self.rescale == 0.0
    }

    /// The guided output.
    ///
    /// # Shapes
    /// - cond, uncond: [B, C, ...]; returns the same
    ///
    /// # Errors
    /// Shapes that do not match.
    pub fn guide(&self, cond: &Tensor, uncond: &Tensor) -> Result<Tensor, ProcessError> {
        let guided = match self.parallel {
            1.0 => lerp(uncond, cond, self.scale)?,
            kept => {
                let update = damped(&cond.f_sub(uncond)?, cond, kept)?;
                cond.f_add(&update.f_mul_scalar(self.scale - 1.0)?)?
            }
        };
        if self.rescale == 0.0 {
            return Ok(guided);
        }
        let factor = per_image_std(cond)?.f_div(&per_image_std(&guided)?)?;
        // 0/0 and x/0 where a prediction is flat, as of an untrained network: such an image is kept.
        let spread = factor.f_isfinite()?.f_logical_and(&factor.f_gt(0)?)?;
        let factor = factor.f_where_self(&spread, &factor.f_ones_like()?)?;
        let factor = factor.f_mul_scalar(self.rescale)?.f_add_scalar(1.0 - self.rescale)?;
        Ok(guided.f_mul(&factor)?)
    }
}

/// x with its component parallel to y, image by image, multiplied by `kept`; computed in f64.
fn damped(x: &Tensor, y: &Tensor, kept: f64) -> Result<Tensor, TorchError> {
    let flat = |x: &Tensor| x.f_to_kind(Kind::Double)?.f_flatten(1, -1);
    let (rows, along) = (flat(x)?, flat(y)?);
    let norm = along.f_norm_scalaropt_dim(2.0, [1i64].as_slice(), true)?.f_clamp_min(1e-12)?;
    let unit = along.f_div(&norm)?;
    let length = rows.f_mul(&unit)?.f_sum_dim_intlist([1i64].as_slice(), true, Kind::Double)?;
    let parallel = length.f_mul(&unit)?;
    let damped = rows.f_sub(&parallel.f_mul_scalar(1.0 - kept)?)?;
    Ok(damped.f_to_kind(x.kind())?.f_view_as(x)?)
}

/// Classifier-free guidance: ε = ε_uncond + scale·(ε_cond − ε_uncond) (Ho & Salimans 2022).
///
/// With a weaker model of the same kind as `uncond` it is autoguidance (Karras et al. 2024). Neither
/// denoiser should clip its prediction; wrap the result in [`ClipDenoised`] or [`DynamicThresholding`].
#[derive(Debug)]
pub struct ClassifierFreeGuidance<C, U> {
    cond: C,
    uncond: U,
    rule: GuidanceRule,
    interval: GuidanceInterval,
    output: NetworkOutput,
}

impl<C: Denoiser, U: Denoiser> ClassifierFreeGuidance<C, U> {
    /// - cond: the conditional denoiser, or the better model
    /// - uncond: the unconditional denoiser, or the weaker model
    /// - scale: guidance scale; 0 is `uncond` alone, 1 is `cond` alone, more extrapolates
    pub fn new(cond: C, uncond: U, scale: f64) -> Self {
        let (interval, output) = (GuidanceInterval::ALL, NetworkOutput::Epsilon);
        Self { cond, uncond, rule: GuidanceRule::new(scale), interval, output }
    }

    /// Limits guidance to an interval of σ.
    pub fn interval(self, interval: GuidanceInterval) -> Self {
        Self { interval, ..self }
    }

    /// Rescales the guided prediction to the standard deviation of `cond`, per image (Lin et al. 2023,
    /// section 3.4). An image for which either is 0 is not rescaled.
    ///
    /// - rescale: φ, 0 (off) to 1 (full); the paper uses 0.7
    /// - output: what the networks predict, whose standard deviation is kept; the paper uses v
    pub fn rescale(self, rescale: f64, output: impl Into<NetworkOutput>) -> Self {
        Self { rule: GuidanceRule { rescale, ..self.rule }, output: output.into(), ..self }
    }

    /// Keeps only a part of the guidance that is parallel to the prediction of `cond`; see
    /// [`GuidanceRule::parallel`].
    ///
    /// - parallel: 1 (all) to 0 (none)
    /// - output: what the networks predict, in which the two components are separated; the paper uses x0
    pub fn parallel(self, parallel: f64, output: impl Into<NetworkOutput>) -> Self {
        Self { rule: GuidanceRule { parallel, ..self.rule }, output: output.into(), ..self }
    }
}

impl<C: Denoiser, U: Denoiser> Denoiser for ClassifierFreeGuidance<C, U> {
    fn denoise(&self, x: &Tensor, step: &SolverStep) -> Result<Prediction, ProcessError> {
        let cond = self.cond.denoise(x, step)?;
        if self.rule.scale == 1.0 || !self.interval.contains(step.from.sigma()) {
            return Ok(cond);
        }
        // Two passes, not one of twice the batch: on the CPU one pass would gain nothing.
        let uncond = self.uncond.denoise(x, step)?;
        if self.rule.is_linear() {
            // Interpolating both x0 and ε avoids a division by √ᾱ, which may be 0.
            let x0 = lerp(&uncond.x0, &cond.x0, self.rule.scale)?;
            let eps = lerp(&uncond.eps, &cond.eps, self.rule.scale)?;
            return Ok(Prediction { x0, eps, mean: None, ..cond });
        }
        let of = |prediction: &Prediction| prediction.output(self.output, step);
        let guided = self.rule.guide(&of(&cond)?, &of(&uncond)?)?;
        cond.with_output(self.output, guided, x, step)
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
pub struct ClipDenoised<D> {
    denoiser: D,
    keeps_noise: bool,
}

impl<D: Denoiser> ClipDenoised<D> {
    /// Clips the predictions of a denoiser that does not clip them itself.
    pub fn new(denoiser: D) -> Self {
        Self { denoiser, keeps_noise: false }
    }

    /// Keeps ε as it was predicted, beside the clipped x0: DDIM of diffusers without `use_clipped_model_output`, and of
    /// lucidrains' networks with classes and `pred_noise`.
    pub fn keep_noise(self) -> Self {
        Self { keeps_noise: true, ..self }
    }
}

impl<D: Denoiser> Denoiser for ClipDenoised<D> {
    fn denoise(&self, x: &Tensor, step: &SolverStep) -> Result<Prediction, ProcessError> {
        let prediction = self.denoiser.denoise(x, step)?;
        let eps = self.keeps_noise.then(|| prediction.eps.shallow_clone());
        let clipped = prediction.clipped(x, step)?;
        Ok(match eps {
            Some(eps) => Prediction { eps, ..clipped },
            None => clipped,
        })
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
