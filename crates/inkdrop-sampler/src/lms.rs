//! Linear multistep sampler (k-diffusion's `sample_lms`).

use inkdrop_process::Denoiser;
use inkdrop_schedule::{SamplingSchedule, solver_coefficients};
use inkdrop_torch::NoiseSource;
use inkdrop_torch::tch::Tensor;

use crate::solver::{History, NoNoise, combine};
use crate::{SamplerError, SamplingRun, SamplingSteps, ScheduledStep, Solver, SolverOutput};

/// Linear multistep (Adams–Bashforth on the actual σ grid): the slope dx/dσ = ε is the integral of a
/// polynomial through the last slopes, as in k-diffusion's `sample_lms`.
pub struct Lms {
    slopes: History,
}

impl Lms {
    /// - order: number of slopes, 1 (Euler) to 4
    ///
    /// # Errors
    /// An order outside 1 to 4.
    pub fn new(order: usize) -> Result<Self, SamplerError> {
        SamplerError::check_order("lms", order, 4)?;
        Ok(Self { slopes: History::new(order) })
    }
}

impl Solver for Lms {
    fn step(
        &mut self,
        denoiser: &dyn Denoiser,
        step: ScheduledStep<'_>,
        x: &Tensor,
        _: &mut dyn NoiseSource,
    ) -> Result<SolverOutput, SamplerError> {
        let prediction = denoiser.denoise(x, &step)?;
        self.slopes.push(step.from, prediction.eps);
        let nodes: Vec<f64> = self.slopes.iter().map(|(level, _)| level.sigma()).collect();
        let weights = solver_coefficients::adams_weights(&nodes, step.to.sigma());
        let signal = step.to.signal();
        let mut terms = vec![(signal / step.from.signal(), x)];
        terms.extend(weights.iter().zip(self.slopes.iter()).map(|(w, (_, s))| (signal * w, s)));
        Ok(SolverOutput { x: combine(&terms)?, x0: prediction.x0 })
    }
}

/// Samples with [`Lms`]: all steps of a [`SamplingSteps`] run. Shapes and errors are those of
/// [`Sampler::sample`](crate::Sampler::sample).
pub fn lms(
    denoiser: &dyn Denoiser,
    schedule: &SamplingSchedule,
    x: Tensor,
    order: usize,
) -> Result<Tensor, SamplerError> {
    SamplingSteps::new(denoiser, Lms::new(order)?, schedule, x, NoNoise).finish()
}
