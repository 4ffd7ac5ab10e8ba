//! Denoisers: the trait that samplers take, and the denoiser of a network with its process.

use std::cell::RefCell;

use inkdrop_nn::{Conditioning, Network};
use inkdrop_schedule::SolverStep;
use inkdrop_torch::tch::Tensor;

use crate::{DiffusionProcess, Prediction, ProcessError};

/// A denoiser D(x; σ): predicts the clean image and the noise in x. Every sampler takes one.
///
/// [`NetworkDenoiser`] is a network with its process; guidance and clipping wrap another denoiser.
pub trait Denoiser {
    /// Predicts x0, ε and the variance of the step at `step.from`.
    ///
    /// # Shapes
    /// - x: [B, C, H, W], of unit variance (√ᾱ·x0 + √(1−ᾱ)·ε)
    ///
    /// # Errors
    /// The network does not accept x.
    fn denoise(&self, x: &Tensor, step: &SolverStep) -> Result<Prediction, ProcessError>;
}

impl<P: Denoiser + ?Sized> Denoiser for &P {
    fn denoise(&self, x: &Tensor, step: &SolverStep) -> Result<Prediction, ProcessError> {
        (**self).denoise(x, step)
    }
}

impl<P: Denoiser + ?Sized> Denoiser for Box<P> {
    fn denoise(&self, x: &Tensor, step: &SolverStep) -> Result<Prediction, ProcessError> {
        (**self).denoise(x, step)
    }
}

/// A denoiser of one's own: a function D(x; σ) that predicts x0 from x = x0 + σ·ε (Karras et al. 2022).
///
/// ```
/// use inkdrop_process::FnDenoiser;
///
/// // The posterior mean of data from N(0, 1).
/// let denoiser = FnDenoiser::new(|x, sigma| Ok(x / (1.0 + sigma * sigma)));
/// ```
#[derive(Debug, Clone)]
pub struct FnDenoiser<F>(F);

impl<F: Fn(&Tensor, f64) -> Result<Tensor, ProcessError>> FnDenoiser<F> {
    /// - predict_x0: of x = x0 + σ·ε, [B, C, H, W], and σ > 0
    pub fn new(predict_x0: F) -> Self {
        Self(predict_x0)
    }
}

impl<F: Fn(&Tensor, f64) -> Result<Tensor, ProcessError>> Denoiser for FnDenoiser<F> {
    fn denoise(&self, x: &Tensor, step: &SolverStep) -> Result<Prediction, ProcessError> {
        if step.from.alpha_cumprod == 0.0 {
            return Err(ProcessError::NoSignal);
        }
        let scaled = x.f_div_scalar(step.from.signal())?;
        Prediction::from_x0((self.0)(&scaled, step.from.sigma())?, x, step)
    }
}

/// A network with its diffusion process and the conditioning of a batch.
///
/// A network that takes a self-condition gets the x0 of the call before, clipped if the process says so,
/// and zeros in the first call: use a new denoiser for each run.
pub struct NetworkDenoiser<'a> {
    process: &'a dyn DiffusionProcess,
    network: &'a dyn Network,
    conditioning: RefCell<Conditioning>,
    clip: bool,
    remembers: bool,
}

impl<'a> NetworkDenoiser<'a> {
    /// A denoiser in evaluation mode with the same conditioning at every step. x0 is clipped if the
    /// process config says so.
    pub fn new(
        process: &'a dyn DiffusionProcess,
        network: &'a dyn Network,
        conditioning: Conditioning,
    ) -> Self {
        let conditioning = RefCell::new(conditioning);
        Self { process, network, conditioning, clip: process.clips(), remembers: true }
    }

    /// Disables clipping, for wrappers that clip their own result.
    pub fn unclipped(self) -> Self {
        Self { clip: false, ..self }
    }

    /// Every call gets a self-condition of zeros, so that the prediction is a function of x and the noise level alone.
    pub fn without_memory(self) -> Self {
        Self { remembers: false, ..self }
    }
}

impl Denoiser for NetworkDenoiser<'_> {
    fn denoise(&self, x: &Tensor, step: &SolverStep) -> Result<Prediction, ProcessError> {
        if x.dim() < 2 {
            let (what, expected) = ("x", "[B, C, ...]".to_string());
            return Err(ProcessError::Shape { what, given: x.size(), expected });
        }
        let mut conditioning = self.conditioning.borrow_mut();
        let fits = |earlier: &Tensor| earlier.size() == x.size();
        let has_condition = conditioning.self_condition.as_ref().is_some_and(fits);
        if self.network.takes_self_condition() && !has_condition {
            // As absent, but of the same form as later ones, for networks that record their passes.
            conditioning.self_condition = Some(x.f_zeros_like()?);
        }
        let prediction = self.process.predict(self.network, x, step, &conditioning)?;
        if self.network.takes_self_condition() && self.remembers {
            let x0 = &prediction.x0;
            let clipped = self.process.clips().then(|| x0.f_clamp(-1.0, 1.0)).transpose()?;
            conditioning.self_condition = Some(clipped.unwrap_or_else(|| x0.shallow_clone()));
        }
        if self.clip { prediction.clipped(x, step) } else { Ok(prediction) }
    }
}
