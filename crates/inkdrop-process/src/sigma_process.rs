//! Any process in the form x = x0 + σ·ε: the denoiser D(x; σ) of a network, for losses of models of few steps.

use inkdrop_nn::Conditioning;
use inkdrop_schedule::{NoiseLevel, PreconditioningCoefs, PredictionType};
use inkdrop_torch::tch::Tensor;

use crate::continuous::{denoise_with, per_image};
use crate::{ContinuousProcess, DiffusionProcess, Process, ProcessError};

/// A process whose network is a denoiser D(x; σ) at every noise level.
///
/// In one with timesteps, the network receives the fractional timestep at which the process has noise σ
/// ([`Schedule::timestep_of_sigma`](inkdrop_schedule::Schedule::timestep_of_sigma)), as the solvers do between
/// two timesteps.
#[derive(Debug)]
pub enum SigmaProcess {
    /// A process of continuous noise levels.
    Continuous(ContinuousProcess),
    /// A process with timesteps.
    Timesteps(Box<Process>),
}

impl From<ContinuousProcess> for SigmaProcess {
    fn from(process: ContinuousProcess) -> Self {
        Self::Continuous(process)
    }
}

impl TryFrom<Process> for SigmaProcess {
    type Error = ProcessError;

    fn try_from(process: Process) -> Result<Self, ProcessError> {
        match process.config().prediction {
            PredictionType::PosteriorMean => Err(ProcessError::NoDenoiser),
            _ => Ok(Self::Timesteps(Box::new(process))),
        }
    }
}

impl SigmaProcess {
    /// Smallest and largest σ of sampling; the largest may be infinite.
    pub fn sigma_range(&self) -> (f64, f64) {
        match self {
            Self::Continuous(process) => process.config().sigma_range(),
            Self::Timesteps(process) => process.sigma_range(),
        }
    }

    /// The noise level σ, with the time at which the process has it.
    pub(crate) fn level(&self, sigma: f64) -> NoiseLevel {
        match self {
            Self::Continuous(process) => process.noise_levels().level_at_sigma(sigma),
            Self::Timesteps(process) => process.schedule().level_at_sigma(sigma),
        }
    }

    /// The coefficients of the denoiser at a level.
    pub(crate) fn coefs(&self, level: NoiseLevel) -> PreconditioningCoefs {
        match self {
            Self::Continuous(process) => process.config().preconditioning.coefs(level),
            Self::Timesteps(process) => process.coefs(self.level(level.sigma())),
        }
    }

    /// D(x; σ).
    ///
    /// # Shapes
    /// - x: x0 + σ·ε, [B, C, H, W]
    /// - sigmas: one for each image; > 0
    pub(crate) fn denoise(
        &self,
        x: &Tensor,
        sigmas: &[f64],
        conditioning: &Conditioning,
        forward: impl FnOnce(&Tensor, &Tensor, &Conditioning) -> Result<Tensor, ProcessError>,
    ) -> Result<Tensor, ProcessError> {
        let levels: Vec<_> = sigmas.iter().map(|&sigma| self.level(sigma)).collect();
        let x = x.f_mul(&per_image(&levels, NoiseLevel::signal, x)?)?;
        self.denoise_scaled(&x, &levels, conditioning, forward)
    }

    /// D of x = √ᾱ·x0 + √(1−ᾱ)·ε, for which ᾱ may be 0.
    ///
    /// - levels: one for each image
    pub(crate) fn denoise_scaled(
        &self,
        x: &Tensor,
        levels: &[NoiseLevel],
        conditioning: &Conditioning,
        forward: impl FnOnce(&Tensor, &Tensor, &Conditioning) -> Result<Tensor, ProcessError>,
    ) -> Result<Tensor, ProcessError> {
        let conditioning = match self {
            Self::Continuous(process) => process.at_an_instant(conditioning, x)?,
            Self::Timesteps(_) => conditioning.shallow_clone(),
        };
        let coefs: Vec<_> = levels.iter().map(|&level| self.coefs(level)).collect();
        denoise_with(&coefs, x, |input, time| forward(input, time, &conditioning))
    }
}
