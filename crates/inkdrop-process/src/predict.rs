//! What the network's output says about the image and the noise in x.

use inkdrop_nn::{Conditioning, Mode, Network};
use inkdrop_torch::tch::Tensor;

use crate::{Process, ProcessError};

/// What is believed about x at one step; x = √ᾱ·x0 + √(1−ᾱ)·eps.
#[derive(Debug)]
pub struct Prediction {
    /// The image, [B, C, H, W], in units of data in [-1, 1].
    pub x0: Tensor,
    /// The noise, [B, C, H, W], of unit variance.
    pub eps: Tensor,
}

/// Anything that samplers can walk down: a network with its process, or a wrapper round one.
pub trait Predictor {
    /// The process whose steps are walked.
    fn process(&self) -> &Process;

    /// The prediction at step `index` of the process.
    ///
    /// # Shapes
    /// - x: [B, C, H, W]
    ///
    /// # Errors
    /// The network cannot take x.
    fn predict(&self, x: &Tensor, index: usize) -> Result<Prediction, ProcessError>;
}

/// A network that predicts noise (and perhaps, in further channels, what is not used here), its process and what the images are asked to be.
pub struct Denoiser<'a> {
    process: &'a Process,
    network: &'a dyn Network,
    conditioning: Conditioning,
}

impl<'a> Denoiser<'a> {
    /// A network in use: evaluation mode, the same conditioning at every step.
    pub fn new(process: &'a Process, network: &'a dyn Network, conditioning: Conditioning) -> Self {
        Self { process, network, conditioning }
    }
}

impl Predictor for Denoiser<'_> {
    fn process(&self) -> &Process {
        self.process
    }

    fn predict(&self, x: &Tensor, index: usize) -> Result<Prediction, ProcessError> {
        let t = self.process.network_time_at(index, x.size()[0])?;
        let out = self.network.forward(x, &t, &self.conditioning, Mode::Eval)?;
        // A network that learns the variance has it in a second half.
        let eps = out.f_narrow(1, 0, x.size()[1])?;
        let bar = self.process.schedule().alphas_cumprod()[index];
        // Ho et al. 2020, eq. 4, solved for x0.
        let (signal, noise) = ((1.0 / bar).sqrt(), (1.0 / bar - 1.0).sqrt());
        let scaled = x.f_mul_scalar(signal)?;
        let x0 = scaled.f_sub(&eps.f_mul_scalar(noise)?)?;
        if !self.process.config().clip {
            return Ok(Prediction { x0, eps });
        }
        let x0 = x0.f_clamp(-1.0, 1.0)?;
        let eps = scaled.f_sub(&x0)?.f_div_scalar(noise)?;
        Ok(Prediction { x0, eps })
    }
}
