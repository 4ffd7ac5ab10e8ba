//! Heun's method along the straight path of flow matching (Lipman et al. 2023, Liu et al. 2023).

use inkdrop_process::{Denoiser, Prediction};
use inkdrop_schedule::{NoiseLevel, SamplingSchedule, SolverStep};
use inkdrop_torch::NoiseSource;
use inkdrop_torch::tch::Tensor;

use crate::solver::{NoNoise, combine, renoise};
use crate::{SamplerError, SamplingRun, SamplingSteps, ScheduledStep, Solver, SolverOutput};

/// Heun's method for dx/dt = v = ε − x0 on x_t = (1 − t)·x0 + t·ε, the mean of the velocities at both
/// ends. The last step, to clean data, is an Euler step; n steps take 2n − 1 network calls.
///
/// [`Heun`](crate::Heun) is the same method in x0 + σ·ε. Euler's method is the same on both paths and
/// equals DDIM: it keeps x0 and ε. Therefore [`Euler`](crate::Euler) serves flow matching, too.
#[derive(Debug, Clone, Copy)]
pub struct FlowHeun;

impl Solver for FlowHeun {
    fn step(
        &mut self,
        denoiser: &dyn Denoiser,
        step: ScheduledStep<'_>,
        x: &Tensor,
        _: &mut dyn NoiseSource,
    ) -> Result<SolverOutput, SamplerError> {
        let first = denoiser.denoise(x, &step)?;
        let euler = renoise(step.to, &first)?;
        if step.to.is_noiseless() {
            return Ok(SolverOutput { x: euler, x0: first.x0 });
        }
        let after = step.next().map_or(NoiseLevel::NOISELESS, |next| next.to);
        let second = denoiser.denoise(&euler, &SolverStep::new(step.to, after))?;
        let ((start, from), (end, to)) = (on_path(step.from), on_path(step.to));
        let half = (to - from) / 2.0 / end;
        let x =
            combine(&[(start / end, x), (half, &velocity(&first)?), (half, &velocity(&second)?)])?;
        Ok(SolverOutput { x, x0: first.x0 })
    }
}

/// The scale of the path at a level, √((1 − t)² + t²), and t.
fn on_path(level: NoiseLevel) -> (f64, f64) {
    let scale = 1.0 / (level.signal() + level.noise());
    (scale, scale * level.noise())
}

fn velocity(prediction: &Prediction) -> Result<Tensor, SamplerError> {
    Ok(prediction.eps.f_sub(&prediction.x0)?)
}

/// Samples with [`FlowHeun`]: all steps of a [`SamplingSteps`] run. Shapes and errors are those of
/// [`Sampler::sample`](crate::Sampler::sample).
pub fn flow_heun(
    denoiser: &dyn Denoiser,
    schedule: &SamplingSchedule,
    x: Tensor,
) -> Result<Tensor, SamplerError> {
    SamplingSteps::new(denoiser, FlowHeun, schedule, x, NoNoise).finish()
}
