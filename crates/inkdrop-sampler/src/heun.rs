//! Heun's method and the stochastic EDM sampler (Karras et al. 2022).

use inkdrop_process::{Denoiser, Prediction};
use inkdrop_schedule::{NoiseLevel, NoiseLevels, SamplingSchedule, SolverStep};
use inkdrop_torch::NoiseSource;
use inkdrop_torch::tch::Tensor;

use crate::solver::{NoNoise, combine, noise_like, renoise};
use crate::{SamplerError, SamplingRun, SamplingSteps, ScheduledStep, Solver, SolverOutput};

/// Heun's method for dx/dσ = ε: the mean of the slopes at both ends (Karras et al. 2022,
/// algorithm 1). The last step, to clean data, is an Euler step; n steps take 2n − 1 network calls.
#[derive(Debug, Clone, Copy)]
pub struct Heun;

impl Solver for Heun {
    fn step(
        &mut self,
        denoiser: &dyn Denoiser,
        step: ScheduledStep<'_>,
        x: &Tensor,
        _: &mut dyn NoiseSource,
    ) -> Result<SolverOutput, SamplerError> {
        let (x, prediction) = heun_step(denoiser, &step, step.next(), x)?;
        Ok(SolverOutput { x, x0: prediction.x0 })
    }
}

/// Samples with [`Heun`]: all steps of a [`SamplingSteps`] run. Shapes and errors are those of
/// [`Sampler::sample`](crate::Sampler::sample).
pub fn heun(
    denoiser: &dyn Denoiser,
    schedule: &SamplingSchedule,
    x: Tensor,
) -> Result<Tensor, SamplerError> {
    SamplingSteps::new(denoiser, Heun, schedule, x, NoNoise).finish()
}

/// Stochasticity of the EDM sampler ("churn"), with the symbols of Karras et al. 2022, algorithm 2.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Churn {
    /// S_churn ≥ 0: total noise added over the run. Each step raises σ by a factor of √2 at most.
    pub churn: f64,
    /// S_tmin: no noise is added where σ is smaller.
    pub min: f64,
    /// S_tmax: no noise is added where σ is larger.
    pub max: f64,
    /// S_noise: standard deviation of the added noise; 1 to 1.007.
    pub noise: f64,
}

impl Default for Churn {
    /// The values for ImageNet-64 (Karras et al. 2022, table 5), which uses 256 steps. With fewer than
    /// 97 steps, each step adds the maximum.
    fn default() -> Self {
        Self { churn: 40.0, min: 0.05, max: 50.0, noise: 1.003 }
    }
}

impl Churn {
    /// γ_i: the relative increase of σ before a step (Karras et al. 2022, algorithm 2).
    ///
    /// - steps: number of steps of the run
    pub fn gamma(&self, sigma: f64, steps: usize) -> f64 {
        let max = std::f64::consts::SQRT_2 - 1.0;
        let in_range = (self.min..=self.max).contains(&sigma);
        if in_range { (self.churn / steps as f64).min(max) } else { 0.0 }
    }

    /// x at the raised noise level, and the step from there.
    pub(crate) fn add_noise(
        &self,
        levels: &dyn NoiseLevels,
        step: ScheduledStep<'_>,
        x: &Tensor,
        noise: &mut dyn NoiseSource,
    ) -> Result<(Tensor, SolverStep), SamplerError> {
        let sigma = step.from.sigma();
        let gamma = self.gamma(sigma, step.count());
        if gamma <= 0.0 {
            return Ok((x.shallow_clone(), *step));
        }
        let raised = levels.level_at_sigma(levels.round_sigma(sigma * (1.0 + gamma)));
        let added = self.noise * (raised.sigma().powi(2) - sigma * sigma).max(0.0).sqrt();
        let ratio = raised.signal() / step.from.signal();
        let x = combine(&[(ratio, x), (raised.signal() * added, &noise_like(noise, x)?)])?;
        Ok((x, SolverStep::new(raised, step.to)))
    }

    pub(crate) fn check(&self) -> Result<(), SamplerError> {
        if self.churn >= 0.0 && self.churn.is_finite() && self.noise > 0.0 && self.min <= self.max {
            return Ok(());
        }
        Err(SamplerError::Request {
            field: "churn",
            given: format!("{self:?}"),
            expected: "churn at least 0, noise above 0 and min at most max".into(),
        })
    }
}

/// The stochastic EDM sampler: each step adds noise, then takes a Heun step from the higher level
/// (Karras et al. 2022, algorithm 2).
#[derive(Debug, Clone, Copy)]
pub struct Edm<'a> {
    levels: &'a dyn NoiseLevels,
    churn: Churn,
}

impl<'a> Edm<'a> {
    /// - levels: of the process, for the times of the raised noise levels
    ///
    /// # Errors
    /// A churn below 0, a noise of 0 or less, or min above max.
    pub fn new(levels: &'a dyn NoiseLevels, churn: Churn) -> Result<Self, SamplerError> {
        churn.check()?;
        Ok(Self { levels, churn })
    }
}

impl Solver for Edm<'_> {
    fn step(
        &mut self,
        denoiser: &dyn Denoiser,
        step: ScheduledStep<'_>,
        x: &Tensor,
        noise: &mut dyn NoiseSource,
    ) -> Result<SolverOutput, SamplerError> {
        let (x, raised_step) = self.churn.add_noise(self.levels, step, x, noise)?;
        let (x, prediction) = heun_step(denoiser, &raised_step, step.next(), &x)?;
        Ok(SolverOutput { x, x0: prediction.x0 })
    }
}

/// Samples with [`Edm`]: all steps of a [`SamplingSteps`] run. Shapes and errors are those of
/// [`Sampler::sample`](crate::Sampler::sample).
pub fn edm(
    denoiser: &dyn Denoiser,
    levels: &dyn NoiseLevels,
    schedule: &SamplingSchedule,
    x: Tensor,
    churn: Churn,
    noise: &mut dyn NoiseSource,
) -> Result<Tensor, SamplerError> {
    SamplingSteps::new(denoiser, Edm::new(levels, churn)?, schedule, x, noise).finish()
}

/// One Heun step, with the prediction at its start.
fn heun_step(
    denoiser: &dyn Denoiser,
    step: &SolverStep,
    next: Option<&SolverStep>,
    x: &Tensor,
) -> Result<(Tensor, Prediction), SamplerError> {
    let first = denoiser.denoise(x, step)?;
    let euler = renoise(step.to, &first)?;
    if step.to.is_noiseless() {
        return Ok((euler, first));
    }
    let second = SolverStep::new(step.to, next.map_or(NoiseLevel::NOISELESS, |next| next.to));
    let second = denoiser.denoise(&euler, &second)?;
    let half = step.to.signal() * (step.to.sigma() - step.from.sigma()) / 2.0;
    let ratio = step.to.signal() / step.from.signal();
    let x = combine(&[(ratio, x), (half, &first.eps), (half, &second.eps)])?;
    Ok((x, first))
}
