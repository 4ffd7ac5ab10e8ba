//! Names in diffusers' configs: scheduler classes and the values of their arguments.

use serde::Deserialize;

/// Supported scheduler classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// `DDPMScheduler`.
    Ddpm,
    /// `DDIMScheduler`.
    Ddim,
    /// `PNDMScheduler`.
    Pndm,
    /// `EulerDiscreteScheduler`.
    Euler,
    /// `EulerAncestralDiscreteScheduler`.
    EulerAncestral,
    /// `HeunDiscreteScheduler`.
    Heun,
    /// `KDPM2DiscreteScheduler`.
    Kdpm2,
    /// `LMSDiscreteScheduler`.
    Lms,
    /// `DPMSolverMultistepScheduler`.
    DpmMultistep,
    /// `UniPCMultistepScheduler`.
    UniPc,
}

impl Class {
    /// The class of a name; `None` if no sampler here equals it.
    pub fn named(name: &str) -> Option<Self> {
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
    pub fn by_index(self) -> bool {
        matches!(self, Self::Ddpm | Self::Ddim | Self::Pndm)
    }

    /// True if its samples are x0 + σ·ε. Those of the other classes have unit variance.
    pub fn grows(self) -> bool {
        !self.by_index() && !matches!(self, Self::DpmMultistep | Self::UniPc)
    }
}

/// `beta_schedule`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BetaSchedule {
    /// `linear`.
    #[default]
    Linear,
    /// `scaled_linear`.
    ScaledLinear,
    /// `squaredcos_cap_v2`.
    #[serde(rename = "squaredcos_cap_v2")]
    SquaredCosine,
    /// `sigmoid`.
    Sigmoid,
    /// `exp`.
    Exp,
}

/// `timestep_spacing`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimestepSpacing {
    /// `linspace`.
    Linspace,
    /// `leading`.
    Leading,
    /// `trailing`.
    Trailing,
}

/// `prediction_type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Predicts {
    /// `epsilon`.
    #[default]
    Epsilon,
    /// `sample`.
    #[serde(alias = "original_sample")]
    Sample,
    /// `v_prediction`.
    VPrediction,
}

/// `final_sigmas_type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Last {
    /// `zero`.
    #[default]
    Zero,
    /// `sigma_min`.
    SigmaMin,
}

/// `interpolation_type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Interpolation {
    /// `linear`.
    #[default]
    Linear,
    /// `log_linear`.
    LogLinear,
}

/// `timestep_type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimestepType {
    /// `discrete`.
    #[default]
    Discrete,
    /// `continuous`.
    Continuous,
}

/// `algorithm_type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Algorithm {
    /// `dpmsolver`.
    Dpmsolver,
    /// `dpmsolver++`.
    #[default]
    #[serde(rename = "dpmsolver++", alias = "deis")]
    DpmsolverPp,
    /// `sde-dpmsolver`.
    SdeDpmsolver,
    /// `sde-dpmsolver++`.
    #[serde(rename = "sde-dpmsolver++")]
    SdeDpmsolverPp,
}

/// `solver_type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SolverType {
    /// `midpoint`.
    Midpoint,
    /// `heun`.
    Heun,
    /// `logrho`.
    Logrho,
    /// `bh1`.
    Bh1,
    /// `bh2`.
    Bh2,
}

/// `variance_type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VarianceType {
    /// `fixed_small`.
    FixedSmall,
    /// `fixed_small_log`.
    FixedSmallLog,
    /// `fixed_large`.
    FixedLarge,
    /// `learned`.
    Learned,
    /// `learned_range`.
    LearnedRange,
}

impl Algorithm {
    /// True if the solver extrapolates the predicted x0, not ε.
    pub(super) fn of_image(self) -> bool {
        matches!(self, Self::DpmsolverPp | Self::SdeDpmsolverPp)
    }
}
