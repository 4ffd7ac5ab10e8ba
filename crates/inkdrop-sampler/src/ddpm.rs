//! DDPM: ancestral sampling (Ho et al. 2020).

use inkdrop_process::Denoiser;
use inkdrop_schedule::SamplingSchedule;
use inkdrop_torch::NoiseSource;
use inkdrop_torch::tch::Tensor;

use crate::solver::step_noise;
use crate::{SamplerError, SamplingRun, SamplingSteps, ScheduledStep, Solver, SolverOutput};

/// Ancestral sampling: x_{t−1} = posterior mean + σ·z, without noise in the last step
/// (Ho et al. 2020, algorithm 2). The variance is that of the process or the learned one.
#[derive(Debug, Clone, Copy)]
pub struct Ddpm;

impl Solver for Ddpm {
    fn step(
        &mut self,
        denoiser: &dyn Denoiser,
        step: ScheduledStep<'_>,
        x: &Tensor,
        noise: &mut dyn NoiseSource,
    ) -> Result<SolverOutput, SamplerError> {
        let prediction = denoiser.denoise(x, &step)?;
        let mut next = prediction.posterior_mean(x, &step)?;
        if !step.to.is_noiseless() {
            let std = prediction.log_variance.f_mul_scalar(0.5)?.f_exp()?;
            next = next.f_add(&step_noise(noise, x, &step)?.f_mul(&std)?)?;
        }
        Ok(SolverOutput { x: next, x0: prediction.x0 })
    }
}

/// Samples with [`Ddpm`]: all steps of a [`SamplingSteps`] run. Shapes and errors are those of
/// [`Sampler::sample`](crate::Sampler::sample).
pub fn ddpm(
    denoiser: &dyn Denoiser,
    schedule: &SamplingSchedule,
    x: Tensor,
    noise: &mut dyn NoiseSource,
) -> Result<Tensor, SamplerError> {
    SamplingSteps::new(denoiser, Ddpm, schedule, x, noise).finish()
}
