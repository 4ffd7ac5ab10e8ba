//! Names in diffusers' configs: scheduler classes and the values of their arguments.

use serde::Deserialize;

/// Supported scheduler classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    Ddpm,
    Ddim,
    Pndm,
    Euler,
    EulerAncestral,
    Heun,
    Kdpm2,
    Lms,
    DpmMultistep,
    UniPc,
}

impl Class {
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "DDPMScheduler" => Self::Ddpm,
            "DDIMScheduler" => Self::Ddim,
            "PNDMScheduler" => Self::Pndm,
            "EulerDiscreteScheduler" => Self::Euler,
            "EulerAncestralDiscreteScheduler" => Self::EulerAncestral,
            "HeunDiscreteScheduler" => Self::Heun,
            "KDPM2DiscreteScheduler" => Self::Kdpm2,
            "LMSDiscreteScheduler" => Self::Lms,
            "DPMSolverMultistepScheduler" => Self::DpmMultistep,
            "UniPCMultistepScheduler" => Self::UniPc,
            _ => return None,
        })
    }

    /// True if the class steps between timesteps and has no σ.
    pub(super) fn by_index(self) -> bool {
        matches!(self, Self::Ddpm | Self::Ddim | Self::Pndm)
    }

    /// True if its samples are x0 + σ·ε. Those of the other classes have unit variance.
    pub(super) fn grows(self) -> bool {
        !self.by_index() && !matches!(self, Self::DpmMultistep | Self::UniPc)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum BetaSchedule {
    #[default]
    Linear,
    ScaledLinear,
    #[serde(rename = "squaredcos_cap_v2")]
    SquaredCosine,
    Sigmoid,
    Exp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum TimestepSpacing {
    Linspace,
    Leading,
    Trailing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Predicts {
    #[default]
    Epsilon,
    #[serde(alias = "original_sample")]
    Sample,
    VPrediction,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Last {
    #[default]
    Zero,
    SigmaMin,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Interpolation {
    #[default]
    Linear,
    LogLinear,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum TimestepType {
    #[default]
    Discrete,
    Continuous,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Algorithm {
    Dpmsolver,
    #[default]
    #[serde(rename = "dpmsolver++", alias = "deis")]
    DpmsolverPp,
    SdeDpmsolver,
    #[serde(rename = "sde-dpmsolver++")]
    SdeDpmsolverPp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum SolverType {
    Midpoint,
    Heun,
    Logrho,
    Bh1,
    Bh2,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum VarianceType {
    FixedSmall,
    FixedSmallLog,
    FixedLarge,
    Learned,
    LearnedRange,
}

impl Algorithm {
    /// True if the solver extrapolates the predicted x0, not ε.
    pub(super) fn of_image(self) -> bool {
        matches!(self, Self::DpmsolverPp | Self::SdeDpmsolverPp)
    }
}
