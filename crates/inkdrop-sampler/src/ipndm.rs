//! iPNDM: improved pseudo numerical sampler (Liu et al. 2022; Zhang & Chen 2023).

use std::collections::VecDeque;

use inkdrop_process::Denoiser;
use inkdrop_schedule::SamplingSchedule;
use inkdrop_torch::NoiseSource;
use inkdrop_torch::tch::Tensor;

use crate::pndm::{extrapolate, transfer};
use crate::solver::{NoNoise, combine};
use crate::{SamplerError, SamplingRun, SamplingSteps, ScheduledStep, Solver, SolverOutput};

/// iPNDM: PLMS that starts with lower orders instead of a repeated step; n steps take n network calls
/// (Zhang & Chen 2023, appendix H.2; the DDIM transfer of Liu et al. 2022, eq. 9 and 12).
///
/// The weights are those of evenly spaced timesteps, whatever the schedule.
#[derive(Debug, Default)]
pub struct Ipndm {
    last_eps: VecDeque<Tensor>, // the newest first
}

impl Solver for Ipndm {
    fn step(
        &mut self,
        denoiser: &dyn Denoiser,
        step: ScheduledStep<'_>,
        x: &Tensor,
        _: &mut dyn NoiseSource,
    ) -> Result<SolverOutput, SamplerError> {
        let prediction = denoiser.denoise(x, &step)?;
        let eps = extrapolate(&mut self.last_eps, prediction.eps)?;
        let next = match step.from.signal() {
            // x is all noise, and x − √(1−ᾱ)·ε is 0; the transfer would divide it by 0.
            0.0 => combine(&[(step.to.noise(), &eps)])?,
            _ => transfer(x, &eps, step.from, step.to)?,
        };
        Ok(SolverOutput { x: next, x0: prediction.x0 })
    }
}

/// Samples with [`Ipndm`]: all steps of a [`SamplingSteps`] run. Shapes and errors are those of
/// [`Sampler::sample`](crate::Sampler::sample).
pub fn ipndm(
    denoiser: &dyn Denoiser,
    schedule: &SamplingSchedule,
    x: Tensor,
) -> Result<Tensor, SamplerError> {
    SamplingSteps::new(denoiser, Ipndm::default(), schedule, x, NoNoise).finish()
}
