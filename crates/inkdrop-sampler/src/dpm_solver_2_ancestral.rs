//! DPM-Solver-2 ancestral (k-diffusion's `sample_dpm_2_ancestral`).

use inkdrop_process::Denoiser;
use inkdrop_schedule::{NoiseLevels, SamplingSchedule, SolverStep};
use inkdrop_torch::NoiseSource;
use inkdrop_torch::tch::Tensor;

use crate::euler::AncestralSplit;
use crate::solver::{combine, renoise, step_noise};
use crate::{SamplerError, SamplingRun, SamplingSteps, ScheduledStep, Solver, SolverOutput};

/// DPM-Solver-2 ancestral: a step of [`DpmSolver2`](crate::DpmSolver2) to less noise than the target
/// level, and fresh noise up to it.
///
/// η = 0 is DPM-Solver-2. The last step, to clean data, is an Euler step; n steps take 2n − 1 network
/// calls.
#[derive(Debug, Clone, Copy)]
pub struct DpmSolver2Ancestral<'a> {
    levels: &'a dyn NoiseLevels,
    eta: f64,
}

impl<'a> DpmSolver2Ancestral<'a> {
    /// - levels: of the process, for the times of the middle noise levels
    /// - eta: scale of the fresh noise, 0 to 1
    ///
    /// # Errors
    /// η outside 0 to 1.
    pub fn new(levels: &'a dyn NoiseLevels, eta: f64) -> Result<Self, SamplerError> {
        SamplerError::check_eta(eta)?;
        Ok(Self { levels, eta })
    }
}

impl Solver for DpmSolver2Ancestral<'_> {
    fn step(
        &mut self,
        denoiser: &dyn Denoiser,
        step: ScheduledStep<'_>,
        x: &Tensor,
        noise: &mut dyn NoiseSource,
    ) -> Result<SolverOutput, SamplerError> {
        let first = denoiser.denoise(x, &step)?;
        if step.to.is_noiseless() {
            return Ok(SolverOutput { x: renoise(step.to, &first)?, x0: first.x0 });
        }
        let from = step.from.sigma();
        let AncestralSplit { down, up } = AncestralSplit::new(&step, self.eta);
        // Half of the step in ln σ. With η = 1 it is the target level itself, as down = σ'²/σ.
        let middle = self.levels.level_at_sigma((from * down).sqrt());
        let second = SolverStep::new(middle, step.to);
        let slope = denoiser.denoise(&renoise(middle, &first)?, &second)?.eps;
        let signal = step.to.signal();
        let mut next =
            combine(&[(signal / step.from.signal(), x), (signal * (down - from), &slope)])?;
        if self.eta > 0.0 {
            let draw = step_noise(noise, x, &step)?;
            next = next.f_add(&draw.f_mul_scalar(signal * up)?)?;
        }
        Ok(SolverOutput { x: next, x0: first.x0 })
    }
}

/// Samples with [`DpmSolver2Ancestral`]: all steps of a [`SamplingSteps`] run. Shapes and errors are those of
/// [`Sampler::sample`](crate::Sampler::sample).
pub fn dpm_solver_2_ancestral(
    denoiser: &dyn Denoiser,
    levels: &dyn NoiseLevels,
    schedule: &SamplingSchedule,
    x: Tensor,
    eta: f64,
    noise: &mut dyn NoiseSource,
) -> Result<Tensor, SamplerError> {
    let solver = DpmSolver2Ancestral::new(levels, eta)?;
    SamplingSteps::new(denoiser, solver, schedule, x, noise).finish()
}
