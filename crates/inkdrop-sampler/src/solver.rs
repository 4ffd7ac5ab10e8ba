//! The solver trait and the driver: an iterator over the steps of a sampling run.

use std::collections::VecDeque;
use std::ops::Deref;

use inkdrop_process::{Denoiser, Prediction};
use inkdrop_schedule::{NoiseLevel, SamplingSchedule, SolverStep};
use inkdrop_torch::tch::{Device, Kind, Tensor, no_grad_guard};
use inkdrop_torch::{NoiseSource, TorchError};

use crate::SamplerError;

/// A numerical method that solves the reverse process step by step.
///
/// A solver may keep state between steps, such as the last predictions of a multistep method, so each
/// run needs its own.
///
/// To add a sampler, implement this trait in a file of its own and add a variant with a name to
/// [`Sampler`](crate::Sampler); `--sampler` then accepts the name. The text of `--help` is in
/// `crates/inkdrop/src/cli/options/sampler.rs`, the default number of steps in
/// `crates/inkdrop/src/pipeline/plan.rs`.
pub trait Solver {
    /// Moves x from the noise level `step.from` to `step.to`.
    ///
    /// # Shapes
    /// - x: [B, C, H, W], of unit variance (√ᾱ·x0 + √(1−ᾱ)·ε)
    ///
    /// # Errors
    /// The denoiser does not accept x, or the noise source runs out.
    fn step(
        &mut self,
        denoiser: &dyn Denoiser,
        step: ScheduledStep<'_>,
        x: &Tensor,
        noise: &mut dyn NoiseSource,
    ) -> Result<SolverOutput, SamplerError>;
}

impl<S: Solver + ?Sized> Solver for Box<S> {
    fn step(
        &mut self,
        denoiser: &dyn Denoiser,
        step: ScheduledStep<'_>,
        x: &Tensor,
        noise: &mut dyn NoiseSource,
    ) -> Result<SolverOutput, SamplerError> {
        (**self).step(denoiser, step, x, noise)
    }
}

/// The result of one solver step.
#[derive(Debug)]
pub struct SolverOutput {
    /// x at `step.to`, [B, C, H, W], of unit variance.
    pub x: Tensor,
    /// The predicted clean image, [B, C, H, W].
    pub x0: Tensor,
}

/// A solver step with its position in the sampling schedule. It dereferences to [`SolverStep`].
#[derive(Debug, Clone, Copy)]
pub struct ScheduledStep<'a> {
    schedule: &'a SamplingSchedule,
    index: usize,
}

impl<'a> ScheduledStep<'a> {
    /// The step at an index of a schedule; `None` past its end.
    pub fn new(schedule: &'a SamplingSchedule, index: usize) -> Option<Self> {
        (index < schedule.len()).then_some(Self { schedule, index })
    }

    /// Index of the step, from 0.
    pub fn index(self) -> usize {
        self.index
    }

    /// Number of steps in the schedule.
    pub fn count(self) -> usize {
        self.schedule.len()
    }

    /// Number of steps left, including this one.
    pub fn remaining(self) -> usize {
        self.count() - self.index
    }

    /// The step after this one.
    pub fn next(self) -> Option<&'a SolverStep> {
        self.schedule.steps().get(self.index + 1)
    }
}

impl Deref for ScheduledStep<'_> {
    type Target = SolverStep;

    fn deref(&self) -> &SolverStep {
        &self.schedule.steps()[self.index]
    }
}

/// The state of a sampling run after one step.
#[derive(Debug)]
pub struct StepState {
    /// Index of the step, from 0.
    pub index: usize,
    /// Number of steps of the run.
    pub count: usize,
    /// Timestep of the process at which the step started, T − 1 to 0.
    pub timestep: f64,
    /// Noise level σ = √((1−ᾱ)/ᾱ) at which the step started; infinite for pure noise.
    pub sigma: f64,
    /// x after the step, [B, C, H, W], of unit variance.
    pub x: Tensor,
    /// The predicted x0 of the step (`pred_xstart`, `pred_original_sample`), [B, C, H, W].
    pub x0: Tensor,
}

impl StepState {
    /// Checks that x is finite.
    pub(crate) fn new(
        (index, count): (usize, usize),
        from: NoiseLevel,
        output: SolverOutput,
    ) -> Result<Self, SamplerError> {
        let SolverOutput { x, x0 } = output;
        // One sum finds any NaN or infinity; in half precision the sum itself could overflow.
        let kind = if x.kind() == Kind::Double { Kind::Double } else { Kind::Float };
        if !x.f_sum(kind)?.f_double_value(&[])?.is_finite() {
            return Err(SamplerError::NotFinite { number: index + 1, total: count });
        }
        Ok(Self { index, count, timestep: from.timestep, sigma: from.sigma(), x, x0 })
    }
}

/// An iterator over the steps of a sampling run. Nothing is computed before it is advanced.
///
/// Stop with `break`; report progress in the loop. [`SamplingRun::finish`] runs the remaining steps.
pub trait SamplingRun: Iterator<Item = Result<StepState, SamplerError>> {
    /// The current x, [B, C, H, W].
    fn x(&self) -> &Tensor;

    /// Runs the remaining steps and returns the final x.
    ///
    /// # Errors
    /// The error of the first step that fails.
    fn finish(mut self) -> Result<Tensor, SamplerError>
    where
        Self: Sized,
    {
        for state in self.by_ref() {
            state?;
        }
        Ok(self.x().shallow_clone())
    }
}

impl<R: SamplingRun + ?Sized> SamplingRun for Box<R> {
    fn x(&self) -> &Tensor {
        (**self).x()
    }
}

/// A sampling run of a [`Solver`]: the driver of all samplers.
///
/// ```
/// # use inkdrop_process::{Denoiser, Prediction, ProcessError};
/// # use inkdrop_sampler::{Ddim, SamplerError, SamplingSteps};
/// # use inkdrop_schedule::{SamplingSchedule, ScheduleConfig, SolverStep, TimestepSpacing};
/// # use inkdrop_torch::{NoiseSource, PerImageNoise, tch::{Device, Tensor}};
/// # struct Zero;
/// # impl Denoiser for Zero {
/// #     fn denoise(&self, x: &Tensor, step: &SolverStep) -> Result<Prediction, ProcessError> {
/// #         Prediction::from_x0(x.zeros_like(), x, step)
/// #     }
/// # }
/// # fn main() -> Result<(), SamplerError> {
/// # let denoiser = Zero;
/// let process = ScheduleConfig::linear(1000).build()?;
/// let timesteps = TimestepSpacing::Trailing(50).timesteps(1000)?;
/// let schedule = SamplingSchedule::from_timesteps(&process, &timesteps)?;
/// let mut noise = PerImageNoise::new(0, 0..2);
/// let x = noise.normal(&[2, 3, 16, 16], Device::Cpu)?;
/// for state in SamplingSteps::new(&denoiser, Ddim::new(0.0)?, &schedule, x, &mut noise) {
///     let state = state?;
///     println!("step {} of {}: σ {:.2}", state.index + 1, state.count, state.sigma);
///     if state.index == 2 {
///         assert_eq!(state.x0.size(), [2, 3, 16, 16]); // the predicted x0
///         break; // stop after step 3
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[must_use = "nothing is sampled before the iterator is advanced"]
pub struct SamplingSteps<'a> {
    denoiser: Box<dyn Denoiser + 'a>,
    solver: Box<dyn Solver + 'a>,
    noise: Box<dyn NoiseSource + 'a>,
    schedule: SamplingSchedule,
    x: Tensor,
    index: usize,
}

impl<'a> SamplingSteps<'a> {
    /// Prepares a run from x at the start of the schedule.
    ///
    /// # Shapes
    /// - x: [B, C, H, W], N(0, 1) for generation from noise
    pub fn new(
        denoiser: impl Denoiser + 'a,
        solver: impl Solver + 'a,
        schedule: &SamplingSchedule,
        x: Tensor,
        noise: impl NoiseSource + 'a,
    ) -> Self {
        Self {
            denoiser: Box::new(denoiser),
            solver: Box::new(solver),
            noise: Box::new(noise),
            schedule: schedule.clone(),
            x,
            index: 0,
        }
    }
}

impl Iterator for SamplingSteps<'_> {
    type Item = Result<StepState, SamplerError>;

    fn next(&mut self) -> Option<Self::Item> {
        let Self { denoiser, solver, noise, schedule, x, index } = self;
        let step = ScheduledStep::new(schedule, *index)?;
        let _guard = no_grad_guard();
        let state = solver.step(denoiser, step, x, noise.as_mut()).and_then(|output| {
            *x = output.x.shallow_clone();
            StepState::new((step.index(), step.count()), step.from, output)
        });
        // After an error the run is over.
        *index = if state.is_ok() { *index + 1 } else { schedule.len() };
        Some(state)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let remaining = self.schedule.len() - self.index;
        (remaining, Some(remaining))
    }
}

/// `len()` is the number of steps left.
impl ExactSizeIterator for SamplingSteps<'_> {}

impl SamplingRun for SamplingSteps<'_> {
    fn x(&self) -> &Tensor {
        &self.x
    }
}

/// The noise source of deterministic solvers.
pub(crate) struct NoNoise;

impl NoiseSource for NoNoise {
    fn normal(&mut self, _: &[i64], _: Device) -> Result<Tensor, TorchError> {
        Err(TorchError::message("a deterministic solver requested noise".into()))
    }
}

/// The last predictions of a multistep solver with their noise levels, the newest first.
pub(crate) struct History {
    entries: VecDeque<(NoiseLevel, Tensor)>,
    capacity: usize,
}

impl History {
    pub fn new(capacity: usize) -> Self {
        Self { entries: VecDeque::new(), capacity }
    }

    /// Adds the newest prediction. A level that is visited twice is one node of the interpolation, so
    /// the newer prediction replaces the older one.
    pub fn push(&mut self, level: NoiseLevel, value: Tensor) {
        if self.entries.front().is_some_and(|(newest, _)| newest.lambda() == level.lambda()) {
            self.entries.pop_front();
        }
        self.entries.push_front((level, value));
        self.entries.truncate(self.capacity);
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn level(&self, index: usize) -> NoiseLevel {
        self.entries[index].0
    }

    pub fn value(&self, index: usize) -> &Tensor {
        &self.entries[index].1
    }

    pub fn iter(&self) -> impl Iterator<Item = &(NoiseLevel, Tensor)> {
        self.entries.iter()
    }
}

/// Linear combination Σ c·x; terms with c = 0 are skipped. At least one term is given.
pub(crate) fn combine(terms: &[(f64, &Tensor)]) -> Result<Tensor, SamplerError> {
    let mut sum: Option<Tensor> = None;
    // A term with c = 0 may be infinite (ε at clean data), and 0·∞ is NaN.
    for (c, x) in terms.iter().filter(|(c, _)| *c != 0.0) {
        sum = Some(match sum {
            Some(mut sum) if *c == 1.0 => sum.f_add_(x)?,
            Some(mut sum) => sum.f_add_(&x.f_mul_scalar(*c)?)?,
            None => x.f_mul_scalar(*c)?,
        });
    }
    Ok(match sum {
        Some(sum) => sum,
        None => terms[0].1.f_zeros_like()?,
    })
}

/// Standard normal noise with the shape, device and dtype of x.
pub(crate) fn noise_like(noise: &mut dyn NoiseSource, x: &Tensor) -> Result<Tensor, SamplerError> {
    Ok(noise.normal(&x.size(), x.device())?.f_to_kind(x.kind())?)
}

/// Standard normal noise that solves a step of the reverse SDE, with the shape, device and dtype of x.
///
/// Sources that remember a path of noise return the same path for any number of steps.
pub(crate) fn step_noise(
    noise: &mut dyn NoiseSource,
    x: &Tensor,
    step: &SolverStep,
) -> Result<Tensor, SamplerError> {
    let snr = [step.from, step.to].map(|level| level.alpha_cumprod / (1.0 - level.alpha_cumprod));
    Ok(noise.increment(&x.size(), x.device(), snr)?.f_to_kind(x.kind())?)
}

/// x at a noise level from a prediction: √ᾱ·x0 + √(1−ᾱ)·ε.
pub(crate) fn renoise(level: NoiseLevel, prediction: &Prediction) -> Result<Tensor, SamplerError> {
    combine(&[(level.signal(), &prediction.x0), (level.noise(), &prediction.eps)])
}
