//! Strategic stochastic sampling of trajectory consistency models (Zheng et al. 2024).

use inkdrop_process::Denoiser;
use inkdrop_schedule::{NoiseLevel, NoiseLevels, SamplingSchedule};
use inkdrop_torch::NoiseSource;
use inkdrop_torch::tch::Tensor;

use crate::solver::{combine, noise_like, renoise};
use crate::{SamplerError, SamplingRun, SamplingSteps, ScheduledStep, Solver, SolverOutput};

/// TCD: a DDIM step beyond the next timestep t, to s = ⌊(1 − γ)·t⌋, and fresh noise back to t
/// (Zheng et al. 2024, algorithm 4).
///
/// With continuous noise levels, σ is the time: the step goes to (1 − γ)·σ'.
/// γ = 0 is DDIM. γ = 1 with timestep 0 as clean data is multistep consistency sampling.
#[derive(Debug, Clone, Copy)]
pub struct Tcd<'a> {
    levels: &'a dyn NoiseLevels,
    gamma: f64,
}

impl<'a> Tcd<'a> {
    /// - levels: of the process, for those of the timesteps s
    /// - gamma: γ, 0 (deterministic) to 1; `eta` in diffusers
    ///
    /// # Errors
    /// γ outside 0 to 1.
    pub fn new(levels: &'a dyn NoiseLevels, gamma: f64) -> Result<Self, SamplerError> {
        if (0.0..=1.0).contains(&gamma) {
            return Ok(Self { levels, gamma });
        }
        let (given, expected) = (gamma.to_string(), "0 (deterministic) to 1".into());
        Err(SamplerError::Request { field: "gamma", given, expected })
    }

    /// The level of s.
    fn beyond(&self, to: NoiseLevel) -> NoiseLevel {
        let kept = 1.0 - self.gamma;
        match self.levels.timesteps() {
            _ if self.gamma == 0.0 => to,
            // In f32, where a product that should be whole is whole: 0.7 · 990 is below 693 in f64.
            Some(schedule) => {
                let timestep = (kept as f32 * to.timestep as f32).floor();
                schedule.level_at_timestep(f64::from(timestep))
            }
            None if kept == 0.0 => NoiseLevel::NOISELESS,
            None => self.levels.level_at_sigma(kept * to.sigma()),
        }
    }
}

impl Solver for Tcd<'_> {
    fn step(
        &mut self,
        denoiser: &dyn Denoiser,
        step: ScheduledStep<'_>,
        x: &Tensor,
        noise: &mut dyn NoiseSource,
    ) -> Result<SolverOutput, SamplerError> {
        let prediction = denoiser.denoise(x, &step)?;
        let beyond = if step.to.is_noiseless() { step.to } else { self.beyond(step.to) };
        let mut next = renoise(beyond, &prediction)?;
        let kept = step.to.alpha_cumprod / beyond.alpha_cumprod;
        if kept < 1.0 {
            let draw = noise_like(noise, x)?;
            next = combine(&[(kept.sqrt(), &next), ((1.0 - kept).sqrt(), &draw)])?;
        }
        Ok(SolverOutput { x: next, x0: prediction.x0 })
    }
}

/// Samples with [`Tcd`]: all steps of a [`SamplingSteps`] run. Shapes and errors are those of
/// [`Sampler::sample`](crate::Sampler::sample).
pub fn tcd(
    denoiser: &dyn Denoiser,
    levels: &dyn NoiseLevels,
    schedule: &SamplingSchedule,
    x: Tensor,
    gamma: f64,
    noise: &mut dyn NoiseSource,
) -> Result<Tensor, SamplerError> {
    SamplingSteps::new(denoiser, Tcd::new(levels, gamma)?, schedule, x, noise).finish()
}
