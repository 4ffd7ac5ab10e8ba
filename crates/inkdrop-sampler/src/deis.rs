//! DEIS: diffusion exponential integrator sampler (Zhang & Chen 2023).

use inkdrop_process::Denoiser;
use inkdrop_schedule::SamplingSchedule;
use inkdrop_schedule::solver_coefficients::exponential_adams_weights;
use inkdrop_torch::NoiseSource;
use inkdrop_torch::tch::Tensor;

use crate::solver::{History, NoNoise, combine, renoise};
use crate::{SamplerError, SamplingRun, SamplingSteps, ScheduledStep, Solver, SolverOutput};

/// Config of DEIS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deis {
    /// Number of predictions that a step uses, 1 (DDIM) to 3.
    pub order: usize,
    /// Lowers the order of the last steps in runs of fewer than 15 steps, for stability.
    pub lower_order_final: bool,
}

impl Default for Deis {
    /// Order 2, as in diffusers.
    fn default() -> Self {
        Self { order: 2, lower_order_final: true }
    }
}

impl Deis {
    /// Order of a step: limited by the predictions so far, and lower at the end of the run.
    fn order_at(&self, step: ScheduledStep<'_>) -> usize {
        let few = self.lower_order_final && step.count() < 15;
        let max = match step.remaining() {
            1 if step.to.is_noiseless() || few => 1,
            2 if few => 2,
            _ => self.order,
        };
        max.min(self.order)
    }
}

/// DEIS with ρAB-logρ: ∫ ε dσ, with ε a polynomial in ln σ through the last predictions
/// (Zhang & Chen 2023, eq. 15 and section 3.3; `solver_type` logrho in diffusers).
pub struct DeisSolver {
    config: Deis,
    history: History,
}

impl DeisSolver {
    /// # Errors
    /// An order outside 1 to 3.
    pub fn new(config: Deis) -> Result<Self, SamplerError> {
        SamplerError::check_order("deis", config.order, 3)?;
        Ok(Self { config, history: History::new(config.order) })
    }
}

impl Solver for DeisSolver {
    fn step(
        &mut self,
        denoiser: &dyn Denoiser,
        step: ScheduledStep<'_>,
        x: &Tensor,
        _: &mut dyn NoiseSource,
    ) -> Result<SolverOutput, SamplerError> {
        let prediction = denoiser.denoise(x, &step)?;
        self.history.push(step.from, prediction.eps.shallow_clone());
        let order = self.config.order_at(step).min(self.history.len());
        if order == 1 {
            return Ok(SolverOutput { x: renoise(step.to, &prediction)?, x0: prediction.x0 });
        }
        // dσ = σ·d(ln σ), so the integral has an exponential factor in ln σ.
        let nodes: Vec<f64> = self.history.iter().map(|(level, _)| -level.lambda()).collect();
        let end = -step.to.lambda();
        let weights = exponential_adams_weights(&nodes[..order], nodes[0], end, 1.0);
        let mut terms = vec![(step.to.signal() / step.from.signal(), x)];
        let values = weights.iter().zip(self.history.iter());
        // √ᾱ·σ = √(1−ᾱ).
        terms.extend(values.map(|(weight, (_, eps))| (step.to.noise() * weight, eps)));
        Ok(SolverOutput { x: combine(&terms)?, x0: prediction.x0 })
    }
}

/// Samples with [`DeisSolver`]: all steps of a [`SamplingSteps`] run. Shapes and errors are those of
/// [`Sampler::sample`](crate::Sampler::sample).
pub fn deis(
    denoiser: &dyn Denoiser,
    schedule: &SamplingSchedule,
    x: Tensor,
    config: Deis,
) -> Result<Tensor, SamplerError> {
    SamplingSteps::new(denoiser, DeisSolver::new(config)?, schedule, x, NoNoise).finish()
}
