//! The stochastic Euler sampler of EDM (Karras et al. 2022).

use inkdrop_process::Denoiser;
use inkdrop_schedule::{NoiseLevels, SamplingSchedule};
use inkdrop_torch::NoiseSource;
use inkdrop_torch::tch::Tensor;

use crate::solver::renoise;
use crate::{Churn, SamplerError, SamplingRun, SamplingSteps, ScheduledStep, Solver, SolverOutput};

/// Stochastic Euler: each step adds noise, then takes an Euler step from the higher level
/// (Karras et al. 2022, algorithm 2 without the correction; k-diffusion's `sample_euler` with churn).
///
/// One network call per step. Without churn it is [`Euler`](crate::Euler).
#[derive(Debug, Clone, Copy)]
pub struct EdmEuler<'a> {
    levels: &'a dyn NoiseLevels,
    churn: Churn,
}

impl<'a> EdmEuler<'a> {
    /// - levels: of the process, for the times of the raised noise levels
    ///
    /// # Errors
    /// A churn below 0, a noise of 0 or less, or min above max.
    pub fn new(levels: &'a dyn NoiseLevels, churn: Churn) -> Result<Self, SamplerError> {
        churn.check()?;
        Ok(Self { levels, churn })
    }
}

impl Solver for EdmEuler<'_> {
    fn step(
        &mut self,
        denoiser: &dyn Denoiser,
        step: ScheduledStep<'_>,
        x: &Tensor,
        noise: &mut dyn NoiseSource,
    ) -> Result<SolverOutput, SamplerError> {
        let (x, raised_step) = self.churn.add_noise(self.levels, step, x, noise)?;
        let prediction = denoiser.denoise(&x, &raised_step)?;
        Ok(SolverOutput { x: renoise(step.to, &prediction)?, x0: prediction.x0 })
    }
}

/// Samples with [`EdmEuler`]: all steps of a [`SamplingSteps`] run. Shapes and errors are those of
/// [`Sampler::sample`](crate::Sampler::sample).
pub fn edm_euler(
    denoiser: &dyn Denoiser,
    levels: &dyn NoiseLevels,
    schedule: &SamplingSchedule,
    x: Tensor,
    churn: Churn,
    noise: &mut dyn NoiseSource,
) -> Result<Tensor, SamplerError> {
    SamplingSteps::new(denoiser, EdmEuler::new(levels, churn)?, schedule, x, noise).finish()
}
