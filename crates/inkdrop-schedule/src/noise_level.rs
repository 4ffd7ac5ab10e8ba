//! Noise levels: how noisy x is, and the timestep of the process with that noise.

use crate::{Preconditioning, Schedule};

/// A noise level of x = √ᾱ·x0 + √(1−ᾱ)·ε, and the timestep at which a process has it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NoiseLevel {
    /// ᾱ, the fraction of the data's variance in x, in [0, 1].
    pub alpha_cumprod: f64,
    /// Timestep of the full process, 0 to T − 1. A fraction lies between two timesteps; −1 is the
    /// noiseless data. In a process of continuous noise levels, the time that the network receives.
    pub timestep: f64,
}

impl NoiseLevel {
    /// Clean data: ᾱ = 1.
    pub const NOISELESS: Self = Self { alpha_cumprod: 1.0, timestep: -1.0 };

    /// Smallest ᾱ for solvers that divide by √ᾱ: 2⁻²⁴, as in diffusers.
    pub const MIN_ALPHA_CUMPROD: f64 = 1.0 / 16_777_216.0;

    /// The level of x0 + σ·ε, rescaled to unit variance: ᾱ = 1/(1 + σ²).
    pub fn from_sigma(sigma: f64, timestep: f64) -> Self {
        Self { alpha_cumprod: 1.0 / (1.0 + sigma * sigma), timestep }
    }

    /// √ᾱ, the scale of the data in x.
    pub fn signal(&self) -> f64 {
        self.alpha_cumprod.sqrt()
    }

    /// √(1−ᾱ), the standard deviation of the noise in x.
    pub fn noise(&self) -> f64 {
        (1.0 - self.alpha_cumprod).sqrt()
    }

    /// σ = √((1−ᾱ)/ᾱ), the noise relative to the data (Karras et al. 2022); infinite if ᾱ is 0.
    pub fn sigma(&self) -> f64 {
        ((1.0 - self.alpha_cumprod) / self.alpha_cumprod).sqrt()
    }

    /// λ = ln √ᾱ − ln √(1−ᾱ), half the log-SNR (Lu et al. 2022); infinite for clean data.
    pub fn lambda(&self) -> f64 {
        -self.sigma().ln()
    }

    /// The level with ᾱ raised to at least [`NoiseLevel::MIN_ALPHA_CUMPROD`].
    pub fn with_min_signal(self) -> Self {
        Self { alpha_cumprod: self.alpha_cumprod.max(Self::MIN_ALPHA_CUMPROD), ..self }
    }

    /// True if x is clean data.
    pub fn is_noiseless(&self) -> bool {
        self.alpha_cumprod >= 1.0
    }
}

/// The noise levels of a process, for solvers that evaluate between those of a schedule.
pub trait NoiseLevels: std::fmt::Debug {
    /// The level with noise σ, and the time at which the process has it.
    ///
    /// - sigma: > 0
    fn level_at_sigma(&self, sigma: f64) -> NoiseLevel;

    /// The noise level of the process nearest to σ; σ itself where they are continuous.
    fn round_sigma(&self, sigma: f64) -> f64 {
        sigma
    }

    /// The schedule over timesteps; `None` if noise levels are continuous.
    fn timesteps(&self) -> Option<&Schedule>;
}

impl NoiseLevels for Schedule {
    fn level_at_sigma(&self, sigma: f64) -> NoiseLevel {
        self.level_at_sigma(sigma)
    }

    fn timesteps(&self) -> Option<&Schedule> {
        Some(self)
    }
}

impl NoiseLevels for Preconditioning {
    fn level_at_sigma(&self, sigma: f64) -> NoiseLevel {
        self.level(sigma)
    }

    fn round_sigma(&self, sigma: f64) -> f64 {
        self.round_sigma(sigma)
    }

    fn timesteps(&self) -> Option<&Schedule> {
        None
    }
}

impl Schedule {
    /// The noise level of a timestep, 0 to T − 1.
    pub fn level(&self, index: usize) -> NoiseLevel {
        NoiseLevel { alpha_cumprod: self.alphas_cumprod()[index], timestep: index as f64 }
    }

    /// The noise level of a fractional timestep. σ is interpolated linearly, as in k-diffusion and
    /// diffusers; timesteps outside 0 to T − 1 are clamped.
    pub fn level_at_timestep(&self, timestep: f64) -> NoiseLevel {
        let last = self.num_timesteps() - 1;
        let timestep = timestep.clamp(0.0, last as f64);
        let low = (timestep.floor() as usize).min(last);
        let fraction = timestep - low as f64;
        if fraction == 0.0 {
            return self.level(low);
        }
        let (a, b) = (self.level(low).sigma(), self.level(low + 1).sigma());
        NoiseLevel::from_sigma(a + fraction * (b - a), timestep)
    }

    /// The noise level σ, with its timestep by linear interpolation of ln σ. A σ outside the
    /// process keeps its value and takes the timestep of the nearer end.
    pub fn level_at_sigma(&self, sigma: f64) -> NoiseLevel {
        NoiseLevel::from_sigma(sigma, self.timestep_of_sigma(sigma))
    }

    /// The fractional timestep, 0 to T − 1, at which the process has noise σ.
    pub fn timestep_of_sigma(&self, sigma: f64) -> f64 {
        let last = self.num_timesteps() - 1;
        let log = |index: usize| self.level(index).sigma().ln();
        let log_sigma = sigma.ln();
        // The first timestep that is noisier than σ; the one before it is the lower neighbour.
        let noisier =
            self.alphas_cumprod().iter().position(|&bar| 1.0 / (1.0 + sigma * sigma) > bar);
        match noisier {
            Some(0) => 0.0,
            None => last as f64,
            Some(high) => {
                let (a, b) = (log(high - 1), log(high));
                let fraction = if b.is_finite() { (log_sigma - a) / (b - a) } else { 0.0 };
                (high - 1) as f64 + fraction.clamp(0.0, 1.0)
            }
        }
    }
}
