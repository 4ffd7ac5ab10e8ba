//! Euler and Euler ancestral samplers (Karras et al. 2022; k-diffusion).

use inkdrop_process::Denoiser;
use inkdrop_schedule::{SamplingSchedule, SolverStep};
use inkdrop_torch::NoiseSource;
use inkdrop_torch::tch::Tensor;

use crate::solver::{NoNoise, combine, renoise, step_noise};
use crate::{SamplerError, SamplingRun, SamplingSteps, ScheduledStep, Solver, SolverOutput};

/// Euler's method for dx/dσ = ε (Karras et al. 2022, algorithm 1 without the correction).
///
/// The step equals DDIM with η = 0; only the usual noise levels differ.
#[derive(Debug, Clone, Copy)]
pub struct Euler;

impl Solver for Euler {
    fn step(
        &mut self,
        denoiser: &dyn Denoiser,
        step: ScheduledStep<'_>,
        x: &Tensor,
        _: &mut dyn NoiseSource,
    ) -> Result<SolverOutput, SamplerError> {
        let prediction = denoiser.denoise(x, &step)?;
        Ok(SolverOutput { x: renoise(step.to, &prediction)?, x0: prediction.x0 })
    }
}

/// Samples with [`Euler`]: all steps of a [`SamplingSteps`] run. Shapes and errors are those of
/// [`Sampler::sample`](crate::Sampler::sample).
pub fn euler(
    denoiser: &dyn Denoiser,
    schedule: &SamplingSchedule,
    x: Tensor,
) -> Result<Tensor, SamplerError> {
    SamplingSteps::new(denoiser, Euler, schedule, x, NoNoise).finish()
}

/// Euler ancestral: an Euler step to less noise than the target level, and fresh noise up to it
/// (k-diffusion's `sample_euler_ancestral`). η = 1 gives the split of the DDPM posterior
/// (Ho et al. 2020, eq. 7).
#[derive(Debug, Clone, Copy)]
pub struct EulerAncestral {
    eta: f64,
}

impl EulerAncestral {
    /// - eta: scale of the fresh noise, 0 (Euler) to 1
    ///
    /// # Errors
    /// η outside 0 to 1.
    pub fn new(eta: f64) -> Result<Self, SamplerError> {
        SamplerError::check_eta(eta)?;
        Ok(Self { eta })
    }
}

impl Solver for EulerAncestral {
    fn step(
        &mut self,
        denoiser: &dyn Denoiser,
        step: ScheduledStep<'_>,
        x: &Tensor,
        noise: &mut dyn NoiseSource,
    ) -> Result<SolverOutput, SamplerError> {
        let prediction = denoiser.denoise(x, &step)?;
        let AncestralSplit { down, up } = AncestralSplit::new(&step, self.eta);
        let signal = step.to.signal();
        // x has unit variance here: k-diffusion's x0 + σ·ε, times √ᾱ of the target level.
        let mut next = combine(&[(signal, &prediction.x0), (signal * down, &prediction.eps)])?;
        if up > 0.0 {
            next = next.f_add(&step_noise(noise, x, &step)?.f_mul_scalar(signal * up)?)?;
        }
        Ok(SolverOutput { x: next, x0: prediction.x0 })
    }
}

/// The split of an ancestral step: σ to which the deterministic part goes, and σ of the fresh noise;
/// down² + up² = σ'² (k-diffusion's `get_ancestral_step`).
pub(crate) struct AncestralSplit {
    pub down: f64,
    pub up: f64,
}

impl AncestralSplit {
    /// - eta: scale of the fresh noise, 0 to 1
    pub(crate) fn new(step: &SolverStep, eta: f64) -> Self {
        let (from, to) = (step.from.sigma(), step.to.sigma());
        let up = (eta * to * (1.0 - (to / from).powi(2)).max(0.0).sqrt()).min(to);
        Self { down: (to * to - up * up).max(0.0).sqrt(), up }
    }
}

/// Samples with [`EulerAncestral`]: all steps of a [`SamplingSteps`] run. Shapes and errors are those of
/// [`Sampler::sample`](crate::Sampler::sample).
pub fn euler_ancestral(
    denoiser: &dyn Denoiser,
    schedule: &SamplingSchedule,
    x: Tensor,
    eta: f64,
    noise: &mut dyn NoiseSource,
) -> Result<Tensor, SamplerError> {
    SamplingSteps::new(denoiser, EulerAncestral::new(eta)?, schedule, x, noise).finish()
}
