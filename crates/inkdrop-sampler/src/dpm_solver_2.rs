//! DPM-Solver-2, singlestep (Lu et al. 2022; k-diffusion's `sample_dpm_2`).

use inkdrop_process::Denoiser;
use inkdrop_schedule::{NoiseLevels, SamplingSchedule, SolverStep};
use inkdrop_torch::NoiseSource;
use inkdrop_torch::tch::Tensor;

use crate::solver::{NoNoise, combine, renoise};
use crate::{SamplerError, SamplingRun, SamplingSteps, ScheduledStep, Solver, SolverOutput};

/// DPM-Solver-2: half a step in ln σ, then the whole step with the slope from there (Lu et al. 2022,
/// algorithm 1, in the form of k-diffusion's `sample_dpm_2`). The last step, to clean data, is an
/// Euler step; n steps take 2n − 1 network calls.
#[derive(Debug, Clone, Copy)]
pub struct DpmSolver2<'a> {
    levels: &'a dyn NoiseLevels,
}

impl<'a> DpmSolver2<'a> {
    /// - levels: of the process, for the times of the middle noise levels
    pub fn new(levels: &'a dyn NoiseLevels) -> Self {
        Self { levels }
    }
}

impl Solver for DpmSolver2<'_> {
    fn step(
        &mut self,
        denoiser: &dyn Denoiser,
        step: ScheduledStep<'_>,
        x: &Tensor,
        _: &mut dyn NoiseSource,
    ) -> Result<SolverOutput, SamplerError> {
        let first = denoiser.denoise(x, &step)?;
        if step.to.is_noiseless() {
            return Ok(SolverOutput { x: renoise(step.to, &first)?, x0: first.x0 });
        }
        let (from, to) = (step.from.sigma(), step.to.sigma());
        let middle = self.levels.level_at_sigma((from * to).sqrt());
        let second = SolverStep::new(middle, step.to);
        let slope = denoiser.denoise(&renoise(middle, &first)?, &second)?.eps;
        let signal = step.to.signal();
        let next = combine(&[(signal / step.from.signal(), x), (signal * (to - from), &slope)])?;
        Ok(SolverOutput { x: next, x0: first.x0 })
    }
}

/// Samples with [`DpmSolver2`]: all steps of a [`SamplingSteps`] run. Shapes and errors are those of
/// [`Sampler::sample`](crate::Sampler::sample).
pub fn dpm_solver_2(
    denoiser: &dyn Denoiser,
    levels: &dyn NoiseLevels,
    schedule: &SamplingSchedule,
    x: Tensor,
) -> Result<Tensor, SamplerError> {
    SamplingSteps::new(denoiser, DpmSolver2::new(levels), schedule, x, NoNoise).finish()
}
