//! Wrappers round a predictor that pull images towards what is asked.

use inkdrop_process::{MeanType, Prediction, Predictor, ProcessError};
use inkdrop_schedule::Leg;
use inkdrop_torch::TorchError;
use inkdrop_torch::tch::{Kind, Tensor, with_grad};

/// Where guidance acts, in σ = √((1−ᾱ)/ᾱ) (Kynkäänniemi et al. 2024); elsewhere the model that
/// is guided speaks alone, and the other one is not called.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// No guidance at or below this σ; 0 to guide to the end.
    pub low: f64,
    /// No guidance above this σ; infinite to guide from the start.
    pub high: f64,
}

impl Interval {
    /// At all levels.
    pub const ALL: Self = Self { low: 0.0, high: f64::INFINITY };

    fn contains(&self, sigma: f64) -> bool {
        sigma > self.low && sigma <= self.high
    }
}

/// Guidance by the difference of two predictors: ε = ε_from + scale·(ε_towards − ε_from).
///
/// With a conditional and an unconditional one it is classifier-free guidance (Ho & Salimans
/// 2022); with a good model and a weaker one of the same kind, autoguidance (Karras et al. 2024).
/// Neither should clip what it predicts; put [`Clipped`] or [`DynamicThreshold`] round the whole.
#[derive(Debug)]
pub struct Guided<P, Q> {
    towards: P,
    from: Q,
    scale: f64,
    interval: Interval,
    rescale: f64,
    rescaled: MeanType,
}

impl<P: Predictor, Q: Predictor> Guided<P, Q> {
    /// - towards: conditional, or the better model
    /// - from: unconditional, or the weaker model
    /// - scale: 0 is `from` alone, 1 `towards` alone, more exaggerates the difference
    pub fn new(towards: P, from: Q, scale: f64) -> Self {
        let (interval, rescaled) = (Interval::ALL, MeanType::Epsilon);
        Self { towards, from, scale, interval, rescale: 0.0, rescaled }
    }

    /// Guides only inside an interval of σ.
    pub fn within(self, interval: Interval) -> Self {
        Self { interval, ..self }
    }

    /// Scales what was guided back to the spread of `towards`, image by image (Lin et al. 2023,
    /// section 3.4).
    ///
    /// - share: 0 (not at all) to 1 (wholly); they use 0.7
    /// - mean: what the networks predict, whose spread is kept (`PreviousX` as `StartX`); they
    ///   predict v
    pub fn rescaled(self, share: f64, mean: MeanType) -> Self {
        Self { rescale: share, rescaled: mean, ..self }
    }
}

impl<P: Predictor, Q: Predictor> Predictor for Guided<P, Q> {
    fn predict(&self, x: &Tensor, leg: &Leg) -> Result<Prediction, ProcessError> {
        let towards = self.towards.predict(x, leg)?;
        if self.scale == 1.0 || !self.interval.contains(leg.from.sigma()) {
            return Ok(towards);
        }
        let from = self.from.predict(x, leg)?;
        // The same line through both in x0 and in ε; x0 is safe also where there is no signal.
        let line = |a: &Tensor, b: &Tensor| -> Result<Tensor, ProcessError> {
            Ok(a.f_sub(b)?.f_mul_scalar(self.scale)?.f_add(b)?)
        };
        if self.rescale == 0.0 {
            let x0 = line(&towards.x0, &from.x0)?;
            let eps = line(&towards.eps, &from.eps)?;
            return Ok(Prediction { x0, eps, mean: None, ..towards });
        }
        let of = |asked: &Tensor, other: &Tensor| self.held(asked, &line(asked, other)?);
        match self.rescaled {
            MeanType::Epsilon => {
                let eps = of(&towards.eps, &from.eps)?;
                towards.with_eps(eps, x, leg)
            }
            MeanType::StartX | MeanType::PreviousX => {
                let x0 = of(&towards.x0, &from.x0)?;
                towards.with_x0(x0, x, leg)
            }
            MeanType::V => {
                let v = of(&towards.v(leg)?, &from.v(leg)?)?;
                let x0 = x.f_mul_scalar(leg.from.signal())?;
                let x0 = x0.f_sub(&v.f_mul_scalar(leg.from.noise())?)?;
                towards.with_x0(x0, x, leg)
            }
        }
    }
}

impl<P, Q> Guided<P, Q> {
    /// What was guided, with a share of the spread of what was asked.
    fn held(&self, asked: &Tensor, guided: &Tensor) -> Result<Tensor, ProcessError> {
        let factor = spread(asked)?.f_div(&spread(guided)?)?;
        let factor = factor.f_mul_scalar(self.rescale)?.f_add_scalar(1.0 - self.rescale)?;
        Ok(guided.f_mul(&factor)?)
    }
}

/// Standard deviation of each image, [B, 1, …].
fn spread(x: &Tensor) -> Result<Tensor, TorchError> {
    let axes: Vec<i64> = (1..x.dim() as i64).collect();
    Ok(x.f_std_dim(Some(&axes[..]), true, true)?)
}

/// Guidance by a classifier's gradient: ε − scale·√(1−ᾱ)·∇ log p(y | x)
/// (Dhariwal & Nichol 2021, algorithm 2). Where x is pure noise (zero terminal SNR) a classifier
/// knows nothing, and the model speaks alone.
pub struct ClassifierGuided<P, F> {
    inner: P,
    log_probability: F,
    scale: f64,
}

impl<P, F> ClassifierGuided<P, F>
where
    P: Predictor,
    F: Fn(&Tensor, f64) -> Result<Tensor, ProcessError>,
{
    /// - log_probability: ln p(y | x) of each image, `[B]`, of noisy x [B, C, H, W] at a time of
    ///   the process (0 to T − 1); it is differentiated by x
    /// - scale: 0 is no guidance, 1 Bayes' rule, more exaggerates
    pub fn new(inner: P, log_probability: F, scale: f64) -> Self {
        Self { inner, log_probability, scale }
    }

    fn gradient(&self, x: &Tensor, time: f64) -> Result<Tensor, ProcessError> {
        with_grad(|| {
            let x = x.f_detach()?.f_set_requires_grad(true)?;
            let log = (self.log_probability)(&x, time)?.f_sum(Kind::Float)?;
            let gradients = Tensor::f_run_backward(&[log], &[x], false, false)?;
            Ok(gradients
                .into_iter()
                .next()
                .ok_or_else(|| TorchError::message("no gradient".into()))?)
        })
    }
}

impl<P, F> Predictor for ClassifierGuided<P, F>
where
    P: Predictor,
    F: Fn(&Tensor, f64) -> Result<Tensor, ProcessError>,
{
    fn predict(&self, x: &Tensor, leg: &Leg) -> Result<Prediction, ProcessError> {
        let prediction = self.inner.predict(x, leg)?;
        if leg.from.alpha_cumprod == 0.0 {
            return Ok(prediction);
        }
        let gradient = self.gradient(x, leg.from.time)?;
        let pull = gradient.f_mul_scalar(self.scale * leg.from.noise())?;
        let eps = prediction.eps.f_sub(&pull)?;
        prediction.with_eps(eps, x, leg)
    }
}

/// The predicted image held in [−1, 1], the noise derived anew.
#[derive(Debug)]
pub struct Clipped<P>(pub P);

impl<P: Predictor> Predictor for Clipped<P> {
    fn predict(&self, x: &Tensor, leg: &Leg) -> Result<Prediction, ProcessError> {
        self.0.predict(x, leg)?.clipped(x, leg)
    }
}

/// The predicted image held in what most of its pixels span, and scaled into [−1, 1]: strong
/// guidance then does not saturate (Saharia et al. 2022, section 2.3).
#[derive(Debug)]
pub struct DynamicThreshold<P> {
    inner: P,
    quantile: f64,
    most: f64,
}

impl<P: Predictor> DynamicThreshold<P> {
    /// - quantile: the share of pixels that is held unchanged, 0 to 1; they use 0.995
    pub fn new(inner: P, quantile: f64) -> Self {
        Self { inner, quantile, most: f64::INFINITY }
    }

    /// Spans no more than `most`, at least 1.
    pub fn at_most(self, most: f64) -> Self {
        Self { most, ..self }
    }
}

impl<P: Predictor> Predictor for DynamicThreshold<P> {
    fn predict(&self, x: &Tensor, leg: &Leg) -> Result<Prediction, ProcessError> {
        let prediction = self.inner.predict(x, leg)?;
        let kind = if x.kind() == Kind::Double { Kind::Double } else { Kind::Float };
        let size = prediction.x0.f_abs()?.f_flatten(1, -1)?.f_to_kind(kind)?;
        let size = size.f_quantile_scalar(self.quantile, Some(1), false, "linear")?;
        let size = size.f_clamp(1.0, self.most.max(1.0))?;
        let mut shape = vec![1i64; x.dim()];
        shape[0] = -1;
        let size = size.f_view(&shape[..])?.f_to_kind(x.kind())?;
        let x0 = prediction.x0.f_clamp_tensor(Some(&size.f_neg()?), Some(&size))?.f_div(&size)?;
        prediction.with_x0(x0, x, leg)
    }
}
