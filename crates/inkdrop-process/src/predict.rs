//! What the network's output says about the image and the noise in x.

use inkdrop_nn::{Conditioning, Network};
use inkdrop_schedule::{Leg, MeanType};
use inkdrop_torch::tch::Tensor;

use crate::tables::Scales;
use crate::{Process, ProcessConfig, ProcessError, Variance};

/// What is believed about x at one step; x = √ᾱ·x0 + √(1−ᾱ)·eps.
#[derive(Debug)]
pub struct Prediction {
    /// The image, [B, C, H, W], in units of data in [-1, 1].
    pub x0: Tensor,
    /// The noise, [B, C, H, W], of unit variance.
    pub eps: Tensor,
    /// ln of the variance of an ancestral step: [] where it is fixed, [B, C, H, W] where it is
    /// learned.
    pub log_variance: Tensor,
    /// The mean of an ancestral step, [B, C, H, W], where the network says it itself; else it
    /// follows from x0 and x ([`Leg::posterior_mean_coefs`]).
    pub mean: Option<Tensor>,
}

impl Prediction {
    /// What an image says about x: the noise follows.
    ///
    /// The variance stays, a mean that the network said is dropped.
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub fn with_x0(self, x0: Tensor, x: &Tensor, leg: &Leg) -> Result<Self, ProcessError> {
        let eps = x.f_sub(&x0.f_mul_scalar(leg.from.signal())?)?;
        let eps = eps.f_div_scalar(leg.from.noise())?;
        Ok(Self { x0, eps, mean: None, ..self })
    }

    /// What noise says about x: the image follows.
    ///
    /// The variance stays, a mean that the network said is dropped.
    ///
    /// # Errors
    /// Shapes that do not fit, or no signal in x to divide by.
    pub fn with_eps(self, eps: Tensor, x: &Tensor, leg: &Leg) -> Result<Self, ProcessError> {
        if leg.from.alpha_cumprod == 0.0 {
            return Err(ProcessError::NoSignal);
        }
        let x0 = x.f_sub(&eps.f_mul_scalar(leg.from.noise())?)?;
        let x0 = x0.f_div_scalar(leg.from.signal())?;
        Ok(Self { x0, eps, mean: None, ..self })
    }

    /// v = √ᾱ·eps − √(1−ᾱ)·x0 (Salimans & Ho 2022), [B, C, H, W].
    ///
    /// # Errors
    /// libtorch is out of memory.
    pub fn v(&self, leg: &Leg) -> Result<Tensor, ProcessError> {
        let of_eps = self.eps.f_mul_scalar(leg.from.signal())?;
        Ok(of_eps.f_sub(&self.x0.f_mul_scalar(leg.from.noise())?)?)
    }

    /// The mean of the ancestral step from x (Ho et al. 2020, eq. 7), [B, C, H, W].
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub fn step_mean(&self, x: &Tensor, leg: &Leg) -> Result<Tensor, ProcessError> {
        if let Some(mean) = &self.mean {
            return Ok(mean.shallow_clone());
        }
        let (of_x0, of_x) = leg.posterior_mean_coefs();
        Ok(self.x0.f_mul_scalar(of_x0)?.f_add(&x.f_mul_scalar(of_x)?)?)
    }

    /// The image held in [−1, 1], the noise derived anew. A mean that the network said stays, as
    /// in improved-diffusion.
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub fn clipped(self, x: &Tensor, leg: &Leg) -> Result<Self, ProcessError> {
        let mean = self.mean.as_ref().map(Tensor::shallow_clone);
        let x0 = self.x0.f_clamp(-1.0, 1.0)?;
        Ok(Self { mean, ..self.with_x0(x0, x, leg)? })
    }
}

/// Anything that samplers can walk down: a network with its process, or a wrapper round one.
pub trait Predictor {
    /// The prediction at the start of a step, about the image, the noise and the step itself.
    ///
    /// # Shapes
    /// - x: [B, C, H, W], of unit variance (√ᾱ·x0 + √(1−ᾱ)·ε)
    ///
    /// # Errors
    /// The network cannot take x.
    fn predict(&self, x: &Tensor, leg: &Leg) -> Result<Prediction, ProcessError>;
}

impl<P: Predictor + ?Sized> Predictor for &P {
    fn predict(&self, x: &Tensor, leg: &Leg) -> Result<Prediction, ProcessError> {
        (**self).predict(x, leg)
    }
}

impl<P: Predictor + ?Sized> Predictor for Box<P> {
    fn predict(&self, x: &Tensor, leg: &Leg) -> Result<Prediction, ProcessError> {
        (**self).predict(x, leg)
    }
}

/// A network, its process and what the images are asked to be.
pub struct Denoiser<'a> {
    process: &'a Process,
    network: &'a dyn Network,
    conditioning: Conditioning,
    clip: bool,
}

impl<'a> Denoiser<'a> {
    /// A network in use: evaluation mode, the same conditioning at every step, x0 clipped where
    /// the process says so.
    pub fn new(process: &'a Process, network: &'a dyn Network, conditioning: Conditioning) -> Self {
        Self { process, network, conditioning, clip: process.config().clip }
    }

    /// The same without clipping, for wrappers that clip what they make of it.
    pub fn unclipped(self) -> Self {
        Self { clip: false, ..self }
    }
}

impl Predictor for Denoiser<'_> {
    fn predict(&self, x: &Tensor, leg: &Leg) -> Result<Prediction, ProcessError> {
        let config = self.process.config();
        if x.dim() < 2 {
            let (what, expected) = ("x", "[B, C, ...]".to_string());
            return Err(ProcessError::Shape { what, given: x.size(), expected });
        }
        let t = self.process.network_time_at(leg.from, x.size()[0])?;
        let out = self.network.forward(x, &t, &self.conditioning)?;
        if config.mean == MeanType::Epsilon && leg.from.alpha_cumprod == 0.0 {
            return Err(ProcessError::NoSignal);
        }
        let own = match config.mean {
            MeanType::PreviousX => self.process.own_leg(leg.from),
            _ => *leg,
        };
        let scales = Scales::of_leg(leg, &own, x)?;
        let mut prediction = interpret(config, &out, x, &scales)?;
        if own.to != leg.to {
            prediction.mean = None; // it is that of another step
        }
        if self.clip { prediction.clipped(x, leg) } else { Ok(prediction) }
    }
}

/// A network's output in words.
///
/// - out: [B, C or 2·C, …]; x: [B, C, …]
pub(crate) fn interpret(
    config: &ProcessConfig,
    out: &Tensor,
    x: &Tensor,
    scales: &Scales,
) -> Result<Prediction, ProcessError> {
    let (mean, variance) = halves(config.variance, out, x)?;
    let log_variance = match (config.variance, variance) {
        (Variance::Learned, Some(log)) => log,
        // Nichol & Dhariwal 2021, eq. 15.
        (Variance::LearnedRange, Some(v)) => {
            let share = v.f_add_scalar(1.0)?.f_mul_scalar(0.5)?;
            share.f_mul(&scales.large.f_sub(&scales.small)?)?.f_add(&scales.small)?
        }
        (fixed, _) => scales.fixed(fixed).shallow_clone(),
    };
    let Scales { signal, noise, mean_of_x0, mean_of_x, .. } = scales;
    let eps_of = |x0: &Tensor| x.f_sub(&x0.f_mul(signal)?)?.f_div(noise);
    let (x0, eps, mean) = match config.mean {
        MeanType::Epsilon => (x.f_sub(&mean.f_mul(noise)?)?.f_div(signal)?, mean, None),
        MeanType::StartX => {
            let eps = eps_of(&mean)?;
            (mean, eps, None)
        }
        MeanType::PreviousX => {
            let x0 = mean.f_sub(&x.f_mul(mean_of_x)?)?.f_div(mean_of_x0)?;
            let eps = eps_of(&x0)?;
            (x0, eps, Some(mean))
        }
        MeanType::V => {
            let x0 = x.f_mul(signal)?.f_sub(&mean.f_mul(noise)?)?;
            let eps = mean.f_mul(signal)?.f_add(&x.f_mul(noise)?)?;
            (x0, eps, None)
        }
    };
    Ok(Prediction { x0, eps, log_variance, mean })
}

/// The output's part about the mean, and the one about the variance where there is one.
pub(crate) fn halves(
    variance: Variance,
    out: &Tensor,
    x: &Tensor,
) -> Result<(Tensor, Option<Tensor>), ProcessError> {
    let (given, channels) = (out.size().get(1).copied().unwrap_or(0), x.size()[1]);
    let expected = if variance.is_learned() { 2 * channels } else { channels };
    if given != expected {
        return Err(ProcessError::Outputs { given, channels, variance });
    }
    if !variance.is_learned() {
        return Ok((out.shallow_clone(), None));
    }
    Ok((out.f_narrow(1, 0, channels)?, Some(out.f_narrow(1, channels, channels)?)))
}
