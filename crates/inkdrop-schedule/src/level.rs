//! How noisy x is at one moment, and when that is.

use crate::Schedule;

/// A noise level: x = √ᾱ·x0 + √(1−ᾱ)·ε, and the time at which a process has it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Level {
    /// ᾱ: the share of the data's variance that is left, 0 to 1.
    pub alpha_cumprod: f64,
    /// The position in the full process, 0 to T − 1, between steps where it is no whole number;
    /// −1 where there is no noise.
    pub time: f64,
}

impl Level {
    /// No noise at all.
    pub const CLEAN: Self = Self { alpha_cumprod: 1.0, time: -1.0 };

    /// The smallest ᾱ that samplers take which divide by it; 2⁻²⁴, as in diffusers.
    pub const LEAST_SIGNAL: f64 = 1.0 / 16_777_216.0;

    /// The level x0 + σ·ε, scaled to unit variance: ᾱ = 1/(1 + σ²).
    pub fn of_sigma(sigma: f64, time: f64) -> Self {
        Self { alpha_cumprod: 1.0 / (1.0 + sigma * sigma), time }
    }

    /// √ᾱ: the scale of the data in x.
    pub fn signal(&self) -> f64 {
        self.alpha_cumprod.sqrt()
    }

    /// √(1−ᾱ): the standard deviation of the noise in x.
    pub fn noise(&self) -> f64 {
        (1.0 - self.alpha_cumprod).sqrt()
    }

    /// σ = √((1−ᾱ)/ᾱ): the noise per unit of data (Karras et al. 2022); infinite where ᾱ is 0.
    pub fn sigma(&self) -> f64 {
        ((1.0 - self.alpha_cumprod) / self.alpha_cumprod).sqrt()
    }

    /// λ = ln √ᾱ − ln √(1−ᾱ), half the log-SNR (Lu et al. 2022); infinite without noise.
    pub fn lambda(&self) -> f64 {
        -self.sigma().ln()
    }

    /// The same with [`Level::LEAST_SIGNAL`] where there is less.
    pub fn with_signal(self) -> Self {
        Self { alpha_cumprod: self.alpha_cumprod.max(Self::LEAST_SIGNAL), ..self }
    }

    /// Whether there is no noise.
    pub fn is_clean(&self) -> bool {
        self.alpha_cumprod >= 1.0
    }
}

impl Schedule {
    /// The level of step `index`, 0 to T − 1.
    pub fn level(&self, index: usize) -> Level {
        Level { alpha_cumprod: self.alphas_cumprod()[index], time: index as f64 }
    }

    /// The level at a time between steps: σ on straight lines between those of the steps, as in
    /// k-diffusion and diffusers; times outside 0 to T − 1 are moved to the ends.
    pub fn level_at_time(&self, time: f64) -> Level {
        let last = self.steps() - 1;
        let time = time.clamp(0.0, last as f64);
        let low = (time.floor() as usize).min(last);
        let part = time - low as f64;
        if part == 0.0 {
            return self.level(low);
        }
        let (a, b) = (self.level(low).sigma(), self.level(low + 1).sigma());
        Level::of_sigma(a + part * (b - a), time)
    }

    /// The level with noise σ, at the time at which this process has it: ln σ on straight lines
    /// between those of the steps; a σ outside the process keeps its value, with the time of the
    /// nearer end.
    pub fn level_at_sigma(&self, sigma: f64) -> Level {
        Level::of_sigma(sigma, self.time_of_sigma(sigma))
    }

    /// The time at which the process has noise σ, 0 to T − 1.
    pub fn time_of_sigma(&self, sigma: f64) -> f64 {
        let last = self.steps() - 1;
        let log = |index: usize| self.level(index).sigma().ln();
        let wanted = sigma.ln();
        // The last step that has no more noise than is asked for.
        let above = self.alphas_cumprod().iter().position(|&bar| 1.0 / (1.0 + sigma * sigma) > bar);
        match above {
            Some(0) => 0.0,
            None => last as f64,
            Some(high) => {
                let (a, b) = (log(high - 1), log(high));
                let part = if b.is_finite() { (wanted - a) / (b - a) } else { 0.0 };
                (high - 1) as f64 + part.clamp(0.0, 1.0)
            }
        }
    }
}
