//! Config of a diffusion process, as configs and checkpoints store it.

use inkdrop_schedule::{PredictionType, Schedule, ScheduleConfig};
use serde::{Deserialize, Serialize};

use crate::ProcessError;

/// The config of a diffusion process.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProcessConfig {
    /// Noise schedule.
    pub schedule: ScheduleConfig,
    /// Unit of the timestep that the network receives.
    pub time: TimeInput,
    /// Prediction type of the network; ε by default.
    #[serde(default, alias = "mean", skip_serializing_if = "is_default")]
    pub prediction: PredictionType,
    /// Variance of an ancestral step.
    pub variance: Variance,
    /// Clips the predicted x0 to [−1, 1] and recomputes ε from it, as `clip_denoised` of
    /// improved-diffusion and `clip_sample` of diffusers. nanodiffusion and the sprites notebook do
    /// not clip.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub clip: bool,
    /// The noise levels of a consistency model; `None` for a diffusion model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consistency: Option<ConsistencyRange>,
}

/// The noise levels of a consistency model with timesteps: its prediction is the DDIM step from noise level σ to σ_min,
/// f(x; σ) = (σ_min/σ)·x + (1 − σ_min/σ)·D(x; σ) for x = x0 + σ·ε.
///
/// f(x; σ_min) = x, as consistency models need (Song et al. 2023, eq. 5). With the network of a diffusion model, f
/// is that model's own step.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConsistencyRange {
    /// σ_min; > 0.
    pub sigma_min: f64,
    /// σ_max, where sampling starts; finite.
    pub sigma_max: f64,
}

impl ConsistencyRange {
    /// From the least noise of a schedule to its most, and at most to 80 (Karras et al. 2022).
    pub fn of(schedule: &Schedule) -> Self {
        let sigma = |index| schedule.level(index).sigma();
        Self { sigma_min: sigma(0), sigma_max: sigma(schedule.num_timesteps() - 1).min(80.0) }
    }

    /// Validates the numbers.
    pub(crate) fn check(&self) -> Result<(), ProcessError> {
        let Self { sigma_min, sigma_max } = *self;
        let refuse = |field, given, expected| Err(ProcessError::Field { field, given, expected });
        if !(sigma_max > 0.0 && sigma_max.is_finite()) {
            return refuse("sigma_max", sigma_max, "a finite number above 0");
        }
        if !(sigma_min > 0.0 && sigma_min < sigma_max) {
            return refuse("sigma_min", sigma_min, "a number above 0, below sigma_max");
        }
        Ok(())
    }
}

fn is_default(prediction: &PredictionType) -> bool {
    *prediction == PredictionType::default()
}

/// Unit of the timestep that the network receives, for timestep i of T counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TimeInput {
    /// i, the index in the full process.
    Index,
    /// i·1000/T, the same range for every T (`rescale_timesteps` of improved-diffusion).
    Rescaled,
    /// (i + 1)/T in (0, 1] (the sprites notebook).
    Fraction,
}

impl TimeInput {
    /// Converts a timestep of the full process with `total` timesteps to the network's unit.
    ///
    /// - timestep: 0 to total − 1; fractions lie between two timesteps
    pub fn at(self, timestep: f64, total: usize) -> f64 {
        let total = total as f64;
        match self {
            Self::Index => timestep,
            Self::Rescaled => timestep * (1000.0 / total),
            Self::Fraction => (timestep + 1.0) / total,
        }
    }
}

/// Variance of an ancestral step (Ho et al. 2020, section 3.2; Nichol & Dhariwal 2021, eq. 15).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Variance {
    /// The variance of the posterior q(x_{t−1} | x_t, x_0).
    #[serde(alias = "fixed_small")]
    FixedSmall,
    /// β.
    #[serde(alias = "fixed_large")]
    FixedLarge,
    /// Learned variance: the network predicts the log-variance in the second half of its output channels.
    Learned,
    /// The network interpolates between the two fixed log-variances, from −1 (small) to 1 (large), in
    /// the second half of its output channels.
    #[serde(alias = "learned_range")]
    LearnedRange,
}

impl Variance {
    /// True if the network outputs twice the image channels.
    pub fn is_learned(self) -> bool {
        matches!(self, Self::Learned | Self::LearnedRange)
    }
}

/// Forward noise: the formula that adds noise to training images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ForwardNoise {
    /// √ᾱ·x0 + √(1−ᾱ)·ε (Ho et al. 2020, eq. 4).
    #[default]
    #[serde(alias = "exact")]
    Standard,
    /// √ᾱ·x0 + (1−ᾱ)·ε: the sprites notebook omits the square root.
    #[serde(alias = "published")]
    SpritesNotebook,
}

impl ProcessConfig {
    /// The process of the sprites notebook: 500 timesteps, t/T, variance β.
    pub fn sprites() -> Self {
        Self {
            schedule: ScheduleConfig::SPRITES,
            time: TimeInput::Fraction,
            prediction: PredictionType::Epsilon,
            variance: Variance::FixedLarge,
            clip: false,
            consistency: None,
        }
    }
}
