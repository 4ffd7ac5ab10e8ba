//! Multistep sampling of consistency models (Song et al. 2023) and latent consistency models
//! (Luo et al. 2023).

use inkdrop_process::Denoiser;
use inkdrop_schedule::SamplingSchedule;
use inkdrop_torch::NoiseSource;
use inkdrop_torch::tch::Tensor;

use crate::solver::{combine, noise_like};
use crate::{SamplerError, SamplingRun, SamplingSteps, ScheduledStep, Solver, SolverOutput};

/// Multistep consistency sampling: the predicted image, with fresh noise up to the next level
/// (Song et al. 2023, algorithm 1; with σ_min = 0 Luo et al. 2023, algorithm 3).
///
/// It is for distilled models, whose prediction is the end of the probability flow. With any other
/// model it is a coarse stochastic sampler.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Consistency {
    /// σ_min, the noise that the predicted image still has; ≥ 0. 0.002 in Song et al. 2023.
    pub sigma_min: f64,
    /// Scale of the fresh noise (`s_noise` in diffusers); ≥ 0, usually 1.
    pub noise_scale: f64,
}

impl Default for Consistency {
    /// σ_min of the consistency models of Song et al. 2023.
    fn default() -> Self {
        Self { sigma_min: 0.002, noise_scale: 1.0 }
    }
}

impl Consistency {
    /// A latent consistency model, whose prediction is free of noise.
    pub const LCM: Self = Self { sigma_min: 0.0, noise_scale: 1.0 };

    fn check(&self) -> Result<(), SamplerError> {
        for (field, value) in [("sigma_min", self.sigma_min), ("noise_scale", self.noise_scale)] {
            if !(value >= 0.0 && value.is_finite()) {
                let (given, expected) = (value.to_string(), "a finite number, 0 or above".into());
                return Err(SamplerError::Request { field, given, expected });
            }
        }
        Ok(())
    }
}

/// The solver of [`Consistency`].
#[derive(Debug, Clone, Copy)]
pub struct ConsistencySolver {
    config: Consistency,
}

impl ConsistencySolver {
    /// # Errors
    /// A number of the config below 0 or not finite.
    pub fn new(config: Consistency) -> Result<Self, SamplerError> {
        config.check()?;
        Ok(Self { config })
    }
}

impl Solver for ConsistencySolver {
    fn step(
        &mut self,
        denoiser: &dyn Denoiser,
        step: ScheduledStep<'_>,
        x: &Tensor,
        noise: &mut dyn NoiseSource,
    ) -> Result<SolverOutput, SamplerError> {
        let Consistency { sigma_min, noise_scale } = self.config;
        let x0 = denoiser.denoise(x, &step)?.x0;
        let mut next = combine(&[(step.to.signal(), &x0)])?;
        // √ᾱ·√(σ² − σ_min²), in the scale of unit variance.
        let variance = 1.0 - step.to.alpha_cumprod * (1.0 + sigma_min * sigma_min);
        // A run of one step ends at σ_min; what is left there is its rounding, and needs no draw.
        let least = if step.count() == 1 { 1e-12 } else { 0.0 };
        if variance > least && noise_scale > 0.0 {
            let std = noise_scale * variance.sqrt();
            next = next.f_add(&noise_like(noise, x)?.f_mul_scalar(std)?)?;
        }
        Ok(SolverOutput { x: next, x0 })
    }
}

/// Samples with [`ConsistencySolver`]: all steps of a [`SamplingSteps`] run. Shapes and errors are those of
/// [`Sampler::sample`](crate::Sampler::sample).
pub fn consistency(
    denoiser: &dyn Denoiser,
    schedule: &SamplingSchedule,
    x: Tensor,
    config: Consistency,
    noise: &mut dyn NoiseSource,
) -> Result<Tensor, SamplerError> {
    SamplingSteps::new(denoiser, ConsistencySolver::new(config)?, schedule, x, noise).finish()
}
