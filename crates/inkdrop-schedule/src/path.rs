//! Which noise levels a sampler visits on its way from noise to an image.

use crate::{Level, Schedule, ScheduleError, spacing};

/// One step of the way, from more noise to less.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Leg {
    /// Where it starts.
    pub from: Level,
    /// Where it ends.
    pub to: Level,
    /// β, where it does not follow from both ends.
    beta: Option<f64>,
}

impl Leg {
    /// The step between two levels.
    pub fn new(from: Level, to: Level) -> Self {
        Self { from, to, beta: None }
    }

    /// The step between two levels of a schedule whose ᾱ is not exactly the running product of
    /// 1 − β (see [`Schedule::from_parts`]): the posterior is that of its own β.
    pub fn with_beta(from: Level, to: Level, beta: f64) -> Self {
        Self { from, to, beta: Some(beta) }
    }

    /// β: the variance that the step of the forward process adds, 1 − ᾱ_from/ᾱ_to.
    pub fn beta(&self) -> f64 {
        self.beta.unwrap_or(1.0 - self.from.alpha_cumprod / self.to.alpha_cumprod)
    }

    /// ᾱ at the end, as the posterior sees it.
    fn posterior_end(&self) -> f64 {
        self.beta.map_or(self.to.alpha_cumprod, |beta| self.from.alpha_cumprod / (1.0 - beta))
    }

    /// Weights of x0 and of x in the mean of q(x_to | x_from, x0) (Ho et al. 2020, eq. 7).
    pub fn posterior_mean_coefs(&self) -> (f64, f64) {
        let (beta, bar, end) = (self.beta(), self.from.alpha_cumprod, self.posterior_end());
        let of_x0 = beta * end.sqrt() / (1.0 - bar);
        let of_x = (1.0 - end) * (1.0 - beta).sqrt() / (1.0 - bar);
        (of_x0, of_x)
    }

    /// Variance of q(x_to | x_from, x0); 0 where the step ends without noise.
    pub fn posterior_variance(&self) -> f64 {
        let end = if self.to.is_clean() { 1.0 } else { self.posterior_end() };
        self.beta() * (1.0 - end) / (1.0 - self.from.alpha_cumprod)
    }
}

/// A way from noise to an image: legs with less and less noise.
#[derive(Debug, Clone, PartialEq)]
pub struct Path {
    legs: Vec<Leg>,
}

impl Path {
    /// The way through these levels, from noisy to clean.
    ///
    /// # Errors
    /// Fewer than two levels, or one that has more noise than the one before it.
    pub fn through(levels: &[Level]) -> Result<Self, ScheduleError> {
        Self::of_legs(levels.windows(2).map(|pair| Leg::new(pair[0], pair[1])).collect())
    }

    /// Steps one after another.
    ///
    /// A step usually starts where the one before it ended; some schedulers jump.
    ///
    /// # Errors
    /// No steps, or one that ends with more noise than it started with.
    pub fn of_legs(legs: Vec<Leg>) -> Result<Self, ScheduleError> {
        if legs.is_empty() {
            return Err(ScheduleError::StepCount { asked: 0, available: 0 });
        }
        let wrong = |leg: &Leg| {
            let falls = leg.to.alpha_cumprod >= leg.from.alpha_cumprod;
            !(falls && (0.0..=1.0).contains(&leg.from.alpha_cumprod))
        };
        match legs.iter().position(wrong) {
            Some(leg) => Err(ScheduleError::Rises { leg }),
            None => Ok(Self { legs }),
        }
    }

    /// The way through steps of a schedule, the last first, and on to no noise.
    ///
    /// - picks: rising, as [`crate::Spacing::picks`] gives them
    ///
    /// # Errors
    /// Nothing picked, or steps that do not rise or lie outside.
    pub fn of_steps(schedule: &Schedule, picks: &[usize]) -> Result<Self, ScheduleError> {
        spacing::check_kept(picks, schedule.steps())?;
        let mut to = Level::CLEAN;
        let mut legs = Vec::with_capacity(picks.len());
        for (position, &pick) in picks.iter().enumerate() {
            let from = schedule.level(pick);
            let before = position.checked_sub(1).map_or(0, |before| picks[before] + 1);
            let beta = schedule.betas()[pick];
            let own = pick == before && beta < 1.0;
            legs.push(if own { Leg::with_beta(from, to, beta) } else { Leg::new(from, to) });
            to = from;
        }
        legs.reverse();
        Ok(Self { legs })
    }

    /// The way through noise levels σ = √((1−ᾱ)/ᾱ), and on to no noise, at the times at which
    /// the schedule has them.
    ///
    /// - sigmas: falling, as [`crate::sigmas`] gives them
    ///
    /// # Errors
    /// No levels, or levels that rise.
    pub fn of_sigmas(
        schedule: &Schedule,
        sigmas: impl IntoIterator<Item = f64>,
    ) -> Result<Self, ScheduleError> {
        let levels = sigmas.into_iter().map(|sigma| schedule.level_at_sigma(sigma));
        Self::through(&levels.chain([Level::CLEAN]).collect::<Vec<_>>())
    }

    /// The steps, the noisiest first.
    pub fn legs(&self) -> &[Leg] {
        &self.legs
    }

    /// How many steps there are, at least 1.
    pub fn steps(&self) -> usize {
        self.legs.len()
    }

    /// The level at which the way starts.
    pub fn start(&self) -> Level {
        self.legs[0].from
    }

    /// The way's last part, of as many steps as are asked for; `None` for 0 or more than there are.
    pub fn last(&self, steps: usize) -> Option<Self> {
        let skip = self.legs.len().checked_sub(steps).filter(|_| steps > 0)?;
        Some(Self { legs: self.legs[skip..].to_vec() })
    }

    /// The same way with a little signal at its start ([`Level::LEAST_SIGNAL`]) where there is
    /// none, for samplers that divide by it.
    pub fn with_signal(&self) -> Self {
        let legs = self.legs.iter().map(|leg| match leg.from.alpha_cumprod {
            0.0 => Leg::new(leg.from.with_signal(), leg.to.with_signal()),
            _ => *leg,
        });
        Self { legs: legs.collect() }
    }
}
