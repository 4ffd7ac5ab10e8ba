//! What a process is, as configs and checkpoints spell it.

use inkdrop_schedule::{MeanType, ScheduleConfig};
use serde::{Deserialize, Serialize};

/// A diffusion process, as configs and checkpoints spell it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProcessConfig {
    /// How much noise each step adds.
    pub schedule: ScheduleConfig,
    /// What the network is given as t.
    pub time: TimeInput,
    /// What the network predicts; the noise unless said otherwise.
    #[serde(default, skip_serializing_if = "is_default")]
    pub mean: MeanType,
    /// How much noise an ancestral step puts back.
    pub variance: Variance,
    /// Whether the predicted image is held in [−1, 1] before a step is taken from it, and the
    /// noise derived anew from that (`clip_denoised` of improved-diffusion, `clip_sample` of
    /// diffusers). nanodiffusion and the sprites notebook do not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub clip: bool,
}

fn is_default(mean: &MeanType) -> bool {
    *mean == MeanType::default()
}

/// What a network is given as t at step i of T, counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TimeInput {
    /// i, the step's number in the full process.
    Index,
    /// i·1000/T, so that networks see the same range whatever T (improved-diffusion).
    Rescaled,
    /// (i + 1)/T in (0, 1] (the sprites notebook).
    Fraction,
}

impl TimeInput {
    /// What the network is given at a position of the full process of `total` steps.
    ///
    /// - position: 0 to total − 1, between steps where it is no whole number
    pub fn at(self, position: f64, total: usize) -> f64 {
        let total = total as f64;
        match self {
            Self::Index => position,
            Self::Rescaled => position * (1000.0 / total),
            Self::Fraction => (position + 1.0) / total,
        }
    }
}

/// Variance of an ancestral step (Ho et al. 2020, section 3.2; Nichol & Dhariwal 2021, eq. 15).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Variance {
    /// That of q(x_{t−1} | x_t, x_0).
    #[serde(alias = "fixed_small")]
    FixedSmall,
    /// β.
    #[serde(alias = "fixed_large")]
    FixedLarge,
    /// The network says its logarithm, in a second half of its channels.
    Learned,
    /// The network says where it lies between the two fixed ones, from −1 (small) to 1 (large),
    /// in a second half of its channels.
    #[serde(alias = "learned_range")]
    LearnedRange,
}

impl Variance {
    /// Whether the network's output has a second half.
    pub fn is_learned(self) -> bool {
        matches!(self, Self::Learned | Self::LearnedRange)
    }
}

/// How training images get their noise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Noising {
    /// √ᾱ·x0 + √(1−ᾱ)·ε (Ho et al. 2020, eq. 4).
    #[default]
    Exact,
    /// √ᾱ·x0 + (1−ᾱ)·ε, as the sprites notebook was published, without the root.
    Published,
}

impl ProcessConfig {
    /// The sprites notebook's process: 500 steps, t/T, β as variance.
    pub fn sprites() -> Self {
        Self {
            schedule: ScheduleConfig::SPRITES,
            time: TimeInput::Fraction,
            mean: MeanType::Epsilon,
            variance: Variance::FixedLarge,
            clip: false,
        }
    }
}
