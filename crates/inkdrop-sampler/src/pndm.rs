//! PLMS and PNDM: pseudo linear multistep samplers (Liu et al. 2022).

use std::collections::VecDeque;

use inkdrop_process::Denoiser;
use inkdrop_schedule::{NoiseLevel, SamplingSchedule, Schedule, SolverStep};
use inkdrop_torch::NoiseSource;
use inkdrop_torch::tch::Tensor;

use crate::solver::{NoNoise, combine};
use crate::{SamplerError, SamplingRun, SamplingSteps, ScheduledStep, Solver, SolverOutput};

/// PLMS: DDIM steps with ε extrapolated from the last four predictions (Liu et al. 2022, eq. 12). The
/// first step is taken twice, as in Rombach et al. 2022; n steps take n + 1 network calls.
///
/// The weights are those of evenly spaced timesteps, whatever the schedule.
#[derive(Debug, Default)]
pub struct Plms {
    last_eps: VecDeque<Tensor>, // the newest first
}

impl Solver for Plms {
    fn step(
        &mut self,
        denoiser: &dyn Denoiser,
        step: ScheduledStep<'_>,
        x: &Tensor,
        _: &mut dyn NoiseSource,
    ) -> Result<SolverOutput, SamplerError> {
        let prediction = denoiser.denoise(x, &step)?;
        let eps = match step.next().filter(|_| step.index() == 0) {
            Some(next) => {
                let guess = transfer(x, &prediction.eps, step.from, step.to)?;
                let second = denoiser.denoise(&guess, next)?.eps;
                let mean = combine(&[(0.5, &prediction.eps), (0.5, &second)])?;
                self.last_eps.push_front(prediction.eps);
                mean
            }
            None => extrapolate(&mut self.last_eps, prediction.eps)?,
        };
        Ok(SolverOutput { x: transfer(x, &eps, step.from, step.to)?, x0: prediction.x0 })
    }
}

/// Samples with [`Plms`]: all steps of a [`SamplingSteps`] run. Shapes and errors are those of
/// [`Sampler::sample`](crate::Sampler::sample).
pub fn plms(
    denoiser: &dyn Denoiser,
    schedule: &SamplingSchedule,
    x: Tensor,
) -> Result<Tensor, SamplerError> {
    SamplingSteps::new(denoiser, Plms::default(), schedule, x, NoNoise).finish()
}

/// PNDM: three steps of a pseudo Runge–Kutta method with four network calls each, then PLMS
/// (Liu et al. 2022, algorithm 2). n ≥ 4 steps take n + 9 network calls.
#[derive(Debug)]
pub struct Pndm<'a> {
    noise_schedule: &'a Schedule,
    last_eps: VecDeque<Tensor>, // the newest first
}

impl<'a> Pndm<'a> {
    /// - noise_schedule: the full process, for the noise levels of the middle timesteps
    pub fn new(noise_schedule: &'a Schedule) -> Self {
        Self { noise_schedule, last_eps: VecDeque::new() }
    }

    /// The weighted slope of the classic Runge–Kutta method, with DDIM transfers.
    fn runge_kutta(
        &self,
        denoiser: &dyn Denoiser,
        step: &SolverStep,
        x: &Tensor,
        first: &Tensor,
    ) -> Result<Tensor, SamplerError> {
        // The middle timestep, rounded up as in diffusers.
        let timestep = ((step.from.timestep + step.to.timestep) / 2.0).ceil();
        let middle = self.noise_schedule.level_at_timestep(timestep);
        let half = |eps: &Tensor| transfer(x, eps, step.from, middle);
        let from_middle = SolverStep::new(middle, step.to);
        let second = denoiser.denoise(&half(first)?, &from_middle)?.eps;
        let third = denoiser.denoise(&half(&second)?, &from_middle)?.eps;
        let end = transfer(x, &third, step.from, step.to)?;
        let fourth = denoiser.denoise(&end, &SolverStep::new(step.to, NoiseLevel::NOISELESS))?.eps;
        let (outer, inner) = (1.0 / 6.0, 1.0 / 3.0);
        combine(&[(outer, first), (inner, &second), (inner, &third), (outer, &fourth)])
    }
}

impl Solver for Pndm<'_> {
    fn step(
        &mut self,
        denoiser: &dyn Denoiser,
        step: ScheduledStep<'_>,
        x: &Tensor,
        _: &mut dyn NoiseSource,
    ) -> Result<SolverOutput, SamplerError> {
        if step.count() < 4 {
            let (given, expected) = (step.count().to_string(), "at least 4 for pndm".into());
            return Err(SamplerError::Request { field: "steps", given, expected });
        }
        let prediction = denoiser.denoise(x, &step)?;
        let eps = if step.index() < 3 {
            let mean = self.runge_kutta(denoiser, &step, x, &prediction.eps)?;
            self.last_eps.push_front(prediction.eps);
            mean
        } else {
            extrapolate(&mut self.last_eps, prediction.eps)?
        };
        Ok(SolverOutput { x: transfer(x, &eps, step.from, step.to)?, x0: prediction.x0 })
    }
}

/// Samples with [`Pndm`]: all steps of a [`SamplingSteps`] run. Shapes and errors are those of
/// [`Sampler::sample`](crate::Sampler::sample).
pub fn pndm(
    denoiser: &dyn Denoiser,
    noise_schedule: &Schedule,
    schedule: &SamplingSchedule,
    x: Tensor,
) -> Result<Tensor, SamplerError> {
    SamplingSteps::new(denoiser, Pndm::new(noise_schedule), schedule, x, NoNoise).finish()
}

/// Adams–Bashforth extrapolation of ε from up to four predictions, on even steps.
pub(crate) fn extrapolate(
    last: &mut VecDeque<Tensor>,
    newest: Tensor,
) -> Result<Tensor, SamplerError> {
    const WEIGHTS: [&[f64]; 4] = [
        &[1.0],
        &[3.0 / 2.0, -1.0 / 2.0],
        &[23.0 / 12.0, -16.0 / 12.0, 5.0 / 12.0],
        &[55.0 / 24.0, -59.0 / 24.0, 37.0 / 24.0, -9.0 / 24.0],
    ];
    last.push_front(newest);
    last.truncate(4);
    let weights = WEIGHTS[last.len() - 1].iter().copied();
    combine(&weights.zip(last.iter()).collect::<Vec<_>>())
}

/// DDIM transfer with a given ε (Liu et al. 2022, eq. 9).
pub(crate) fn transfer(
    x: &Tensor,
    eps: &Tensor,
    from: NoiseLevel,
    to: NoiseLevel,
) -> Result<Tensor, SamplerError> {
    let ratio = to.signal() / from.signal();
    combine(&[(ratio, x), (to.noise() - ratio * from.noise(), eps)])
}
