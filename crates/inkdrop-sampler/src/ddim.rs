//! DDIM sampling and DDIM inversion (Song et al. 2020).

use inkdrop_process::Denoiser;
use inkdrop_schedule::{NoiseLevel, SamplingSchedule, SolverStep};
use inkdrop_torch::NoiseSource;
use inkdrop_torch::tch::{Tensor, no_grad_guard};

use crate::solver::{combine, renoise, step_noise};
use crate::{
    SamplerError, SamplingRun, SamplingSteps, ScheduledStep, Solver, SolverOutput, StepState,
};

/// DDIM: x_{t−1} = √ᾱ_prev·x0 + √(1−ᾱ_prev−σ²)·ε + σ·z with σ = η·√(posterior variance)
/// (Song et al. 2020, eq. 12 and 16).
#[derive(Debug, Clone, Copy)]
pub struct Ddim {
    eta: f64,
}

impl Ddim {
    /// - eta: 0 (deterministic) to 1 (DDPM with the smaller fixed variance)
    ///
    /// # Errors
    /// η outside 0 to 1.
    pub fn new(eta: f64) -> Result<Self, SamplerError> {
        SamplerError::check_eta(eta)?;
        Ok(Self { eta })
    }
}

impl Solver for Ddim {
    fn step(
        &mut self,
        denoiser: &dyn Denoiser,
        step: ScheduledStep<'_>,
        x: &Tensor,
        noise: &mut dyn NoiseSource,
    ) -> Result<SolverOutput, SamplerError> {
        let prediction = denoiser.denoise(x, &step)?;
        // σ² follows from ᾱ at both ends, even if the schedule has another β (sprites notebook).
        let variance = SolverStep::new(step.from, step.to).posterior_variance() * self.eta.powi(2);
        let direction = (1.0 - step.to.alpha_cumprod - variance).max(0.0).sqrt();
        let mut next =
            combine(&[(step.to.signal(), &prediction.x0), (direction, &prediction.eps)])?;
        if variance > 0.0 {
            next = next.f_add(&step_noise(noise, x, &step)?.f_mul_scalar(variance.sqrt())?)?;
        }
        Ok(SolverOutput { x: next, x0: prediction.x0 })
    }
}

/// Samples with [`Ddim`]: all steps of a [`SamplingSteps`] run. Shapes and errors are those of
/// [`Sampler::sample`](crate::Sampler::sample).
pub fn ddim(
    denoiser: &dyn Denoiser,
    schedule: &SamplingSchedule,
    x: Tensor,
    eta: f64,
    noise: &mut dyn NoiseSource,
) -> Result<Tensor, SamplerError> {
    SamplingSteps::new(denoiser, Ddim::new(eta)?, schedule, x, noise).finish()
}

/// Options of DDIM inversion.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Inversion {
    /// Noise level at which the inversion ends: the start of the schedule, or a noisier level.
    pub end: NoiseLevel,
    /// Fixed-point iterations per step, one network call each, so that DDIM's own step leads back.
    ///
    /// 0 takes each step explicitly, as improved-diffusion does, with an error of the step size. With
    /// iterations the inversion is exact where they converge.
    pub refine: usize,
}

/// A run of DDIM inversion: DDIM backwards, from an image to the noise that generates it
/// (Song et al. 2020, section 4.3). Each step keeps x0 and ε and moves to a noisier level.
#[must_use = "nothing is computed before the iterator is advanced"]
pub struct DdimInversion<'a> {
    denoiser: Box<dyn Denoiser + 'a>,
    schedule: SamplingSchedule,
    refine: usize,
    /// Index of each step of the schedule to invert, with the noise level to reach.
    targets: Vec<(usize, NoiseLevel)>,
    x: Tensor,
    index: usize,
}

impl<'a> DdimInversion<'a> {
    /// Prepares the inversion of a sampling schedule.
    ///
    /// With `refine`, x is first moved from clean data to the last level of the schedule, which takes
    /// `refine` network calls.
    ///
    /// # Shapes
    /// - x: images, [B, C, H, W]
    ///
    /// # Errors
    /// The denoiser does not accept x.
    pub fn new(
        denoiser: impl Denoiser + 'a,
        schedule: &SamplingSchedule,
        x: Tensor,
        inversion: Inversion,
    ) -> Result<Self, SamplerError> {
        let _guard = no_grad_guard();
        let refine = inversion.refine;
        // Solving a DDIM step backwards divides by √ᾱ.
        let (schedule, end) = match refine {
            0 => (schedule.clone(), inversion.end),
            _ => (schedule.with_min_signal(), inversion.end.with_min_signal()),
        };
        let steps = schedule.steps();
        let noisier = |i: usize| if i == 0 { end } else { steps[i - 1].from };
        let targets = (0..steps.len()).rev().map(|i| (i, noisier(i)));
        let targets = targets.filter(|(i, to)| to.alpha_cumprod < steps[*i].from.alpha_cumprod);
        let targets = targets.collect();
        let x = match refine {
            0 => x,
            _ => solve_backwards(&denoiser, &steps[steps.len() - 1], &x, &x, refine)?,
        };
        Ok(Self { denoiser: Box::new(denoiser), schedule, refine, targets, x, index: 0 })
    }

    fn advance(&mut self, i: usize, to: NoiseLevel) -> Result<StepState, SamplerError> {
        let _guard = no_grad_guard();
        let steps = self.schedule.steps();
        let prediction = self.denoiser.denoise(&self.x, &steps[i])?;
        let guess = renoise(to, &prediction)?;
        let forward_step = if i > 0 { steps[i - 1] } else { SolverStep::new(to, steps[i].from) };
        self.x = match self.refine {
            0 => guess,
            times => {
                solve_backwards(self.denoiser.as_ref(), &forward_step, &self.x, &guess, times)?
            }
        };
        let output = SolverOutput { x: self.x.shallow_clone(), x0: prediction.x0 };
        StepState::new((self.index, self.targets.len()), steps[i].from, output)
    }
}

impl Iterator for DdimInversion<'_> {
    type Item = Result<StepState, SamplerError>;

    fn next(&mut self) -> Option<Self::Item> {
        let &(i, to) = self.targets.get(self.index)?;
        let state = self.advance(i, to);
        self.index = if state.is_ok() { self.index + 1 } else { self.targets.len() };
        Some(state)
    }
}

impl SamplingRun for DdimInversion<'_> {
    fn x(&self) -> &Tensor {
        &self.x
    }
}

/// Inverts images with [`DdimInversion`].
///
/// - schedule: the sampling schedule that leads from the noise to the image
///
/// # Shapes
/// - x: images, [B, C, H, W]; returns x at the level `inversion.end`
///
/// # Errors
/// The denoiser does not accept x, or x becomes NaN or infinite.
pub fn ddim_inversion(
    denoiser: &dyn Denoiser,
    schedule: &SamplingSchedule,
    x: Tensor,
    inversion: Inversion,
) -> Result<Tensor, SamplerError> {
    DdimInversion::new(denoiser, schedule, x, inversion)?.finish()
}

/// The x at the start of a step from which DDIM leads to `to`, by fixed-point iteration.
fn solve_backwards(
    denoiser: &dyn Denoiser,
    step: &SolverStep,
    to: &Tensor,
    guess: &Tensor,
    iterations: usize,
) -> Result<Tensor, SamplerError> {
    let ratio = step.to.signal() / step.from.signal();
    let coef_eps = step.to.noise() - ratio * step.from.noise();
    let mut x = guess.shallow_clone();
    for _ in 0..iterations {
        let eps = denoiser.denoise(&x, step)?.eps;
        x = combine(&[(1.0 / ratio, to), (-coef_eps / ratio, &eps)])?;
    }
    Ok(x)
}
