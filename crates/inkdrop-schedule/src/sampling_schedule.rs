//! Sampling schedules: the noise levels that a sampler visits, from pure noise to the image.

use crate::error::MAX_STEPS;
use crate::timestep_spacing::check_timestep_map;
use crate::{NoiseLevel, Schedule, ScheduleError};

/// One step of a solver, from a noisier level to a less noisy one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SolverStep {
    /// Noise level at the start.
    pub from: NoiseLevel,
    /// Noise level at the end.
    pub to: NoiseLevel,
    /// β, if it differs from 1 − ᾱ_from/ᾱ_to.
    beta: Option<f64>,
}

impl SolverStep {
    /// The step between two noise levels.
    pub fn new(from: NoiseLevel, to: NoiseLevel) -> Self {
        Self { from, to, beta: None }
    }

    /// The step between two levels with its own β, for a schedule whose ᾱ is not the running product
    /// of 1 − β (see [`Schedule::from_parts`]).
    pub fn with_beta(from: NoiseLevel, to: NoiseLevel, beta: f64) -> Self {
        Self { from, to, beta: Some(beta) }
    }

    /// β, the variance that this step of the forward process adds: 1 − ᾱ_from/ᾱ_to.
    pub fn beta(&self) -> f64 {
        self.beta.unwrap_or(1.0 - self.from.alpha_cumprod / self.to.alpha_cumprod)
    }

    /// ᾱ at the end that is consistent with β, for the posterior.
    fn posterior_end(&self) -> f64 {
        self.beta.map_or(self.to.alpha_cumprod, |beta| self.from.alpha_cumprod / (1.0 - beta))
    }

    /// Coefficients of x0 and of x in the mean of the posterior q(x_to | x_from, x0)
    /// (Ho et al. 2020, eq. 7).
    pub fn posterior_mean_coefs(&self) -> (f64, f64) {
        let (beta, bar, end) = (self.beta(), self.from.alpha_cumprod, self.posterior_end());
        let coef_x0 = beta * end.sqrt() / (1.0 - bar);
        let coef_x = (1.0 - end) * (1.0 - beta).sqrt() / (1.0 - bar);
        (coef_x0, coef_x)
    }

    /// Variance of the posterior q(x_to | x_from, x0); 0 if the step ends at clean data.
    pub fn posterior_variance(&self) -> f64 {
        let end = if self.to.is_noiseless() { 1.0 } else { self.posterior_end() };
        self.beta() * (1.0 - end) / (1.0 - self.from.alpha_cumprod)
    }
}

/// The steps of a sampling run, from the noisiest level to clean data.
#[derive(Debug, Clone, PartialEq)]
pub struct SamplingSchedule {
    steps: Vec<SolverStep>,
}

// A schedule is never empty, so `is_empty` would always be false.
#[allow(clippy::len_without_is_empty)]
impl SamplingSchedule {
    /// The steps between consecutive noise levels, from noisy to clean.
    ///
    /// # Errors
    /// Fewer than two levels, or noise that increases.
    pub fn from_levels(levels: &[NoiseLevel]) -> Result<Self, ScheduleError> {
        Self::from_steps(levels.windows(2).map(|pair| SolverStep::new(pair[0], pair[1])).collect())
    }

    /// A schedule of given steps.
    ///
    /// A step usually starts where the previous one ended, but some schedulers jump.
    ///
    /// # Errors
    /// No steps, or a step whose noise increases.
    pub fn from_steps(steps: Vec<SolverStep>) -> Result<Self, ScheduleError> {
        if steps.is_empty() {
            return Err(ScheduleError::StepCount { requested: 0, available: MAX_STEPS });
        }
        let invalid = |step: &SolverStep| {
            let noise_falls = step.to.alpha_cumprod >= step.from.alpha_cumprod;
            !(noise_falls && (0.0..=1.0).contains(&step.from.alpha_cumprod))
        };
        match steps.iter().position(invalid) {
            Some(step) => Err(ScheduleError::NoiseRises { step }),
            None => Ok(Self { steps }),
        }
    }

    /// The steps from each of these timesteps to the one below it, and from the lowest to clean data.
    ///
    /// - timesteps: strictly increasing, as from [`crate::TimestepSpacing::timesteps`]
    ///
    /// # Errors
    /// No timesteps, or timesteps that do not increase or lie outside the process.
    pub fn from_timesteps(schedule: &Schedule, timesteps: &[usize]) -> Result<Self, ScheduleError> {
        check_timestep_map(timesteps, schedule.num_timesteps())?;
        let mut to = NoiseLevel::NOISELESS;
        let mut steps = Vec::with_capacity(timesteps.len());
        for (position, &timestep) in timesteps.iter().enumerate() {
            let from = schedule.level(timestep);
            let adjacent = position.checked_sub(1).map_or(0, |before| timesteps[before] + 1);
            let beta = schedule.betas()[timestep];
            // Between adjacent timesteps the process's own β holds, even if ᾱ is not its product.
            let own_beta = timestep == adjacent && beta < 1.0;
            steps.push(match own_beta {
                true => SolverStep::with_beta(from, to, beta),
                false => SolverStep::new(from, to),
            });
            to = from;
        }
        steps.reverse();
        Ok(Self { steps })
    }

    /// The steps through noise levels σ = √((1−ᾱ)/ᾱ) to clean data, each at the timestep at which
    /// the process has that σ.
    ///
    /// - sigmas: decreasing, as from [`crate::sigmas`]
    ///
    /// # Errors
    /// No levels, or levels that increase.
    pub fn from_sigmas(
        schedule: &Schedule,
        sigmas: impl IntoIterator<Item = f64>,
    ) -> Result<Self, ScheduleError> {
        let levels = sigmas.into_iter().map(|sigma| schedule.level_at_sigma(sigma));
        Self::from_levels(&levels.chain([NoiseLevel::NOISELESS]).collect::<Vec<_>>())
    }

    /// The steps, the noisiest first.
    pub fn steps(&self) -> &[SolverStep] {
        &self.steps
    }

    /// Number of steps, at least 1.
    pub fn len(&self) -> usize {
        self.steps.len()
    }

    /// Noise level at which sampling starts.
    pub fn start(&self) -> NoiseLevel {
        self.steps[0].from
    }

    /// The last `count` steps, for image-to-image; `None` if count is 0 or exceeds the length.
    pub fn last_steps(&self, count: usize) -> Option<Self> {
        let skip = self.steps.len().checked_sub(count).filter(|_| count > 0)?;
        Some(Self { steps: self.steps[skip..].to_vec() })
    }

    /// The same steps with ᾱ = [`NoiseLevel::MIN_ALPHA_CUMPROD`] instead of 0 at the start, for solvers
    /// that divide by √ᾱ.
    pub fn with_min_signal(&self) -> Self {
        let steps = self.steps.iter().map(|step| match step.from.alpha_cumprod {
            0.0 => SolverStep::new(step.from.with_min_signal(), step.to.with_min_signal()),
            _ => *step,
        });
        Self { steps: steps.collect() }
    }
}
