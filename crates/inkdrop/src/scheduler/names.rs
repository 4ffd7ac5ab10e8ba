//! Names in diffusers' configs: scheduler classes and the values of their arguments.

use inkdrop_schedule::NoiseLevel;
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
    /// `KDPM2AncestralDiscreteScheduler`.
    Kdpm2Ancestral,
    /// `DPMSolverSinglestepScheduler`.
    DpmSinglestep,
    /// `DEISMultistepScheduler`.
    Deis,
    /// `SASolverScheduler`.
    SaSolver,
    /// `IPNDMScheduler`.
    Ipndm,
    /// `LCMScheduler`.
    Lcm,
    /// `TCDScheduler`.
    Tcd,
    /// `EDMEulerScheduler`.
    EdmEuler,
    /// `EDMDPMSolverMultistepScheduler`.
    EdmDpmMultistep,
    /// `CMStochasticIterativeScheduler`.
    Consistency,
    /// `FlowMatchEulerDiscreteScheduler`.
    FlowEuler,
    /// `FlowMatchHeunDiscreteScheduler`.
    FlowHeun,
}

impl Class {
    /// True if it can rescale ᾱ to a zero terminal SNR (`rescale_betas_zero_snr`).
    pub(super) fn rescales(self) -> bool {
        matches!(
            self,
            Self::Ddpm
                | Self::Ddim
                | Self::DpmMultistep
                | Self::Euler
                | Self::EulerAncestral
                | Self::Lcm
                | Self::Tcd
                | Self::UniPc
        )
    }

    /// True if its σ can lie on a curve (`use_karras_sigmas` and others).
    pub(super) fn has_curves(self) -> bool {
        matches!(
            self,
            Self::Deis
                | Self::DpmMultistep
                | Self::DpmSinglestep
                | Self::Euler
                | Self::FlowEuler
                | Self::Heun
                | Self::Kdpm2
                | Self::Kdpm2Ancestral
                | Self::Lms
                | Self::SaSolver
                | Self::UniPc
        )
    }

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
            "KDPM2AncestralDiscreteScheduler" => Self::Kdpm2Ancestral,
            "DPMSolverSinglestepScheduler" => Self::DpmSinglestep,
            "DEISMultistepScheduler" => Self::Deis,
            "SASolverScheduler" => Self::SaSolver,
            "IPNDMScheduler" => Self::Ipndm,
            "LCMScheduler" => Self::Lcm,
            "TCDScheduler" => Self::Tcd,
            "EDMEulerScheduler" => Self::EdmEuler,
            "EDMDPMSolverMultistepScheduler" => Self::EdmDpmMultistep,
            "CMStochasticIterativeScheduler" => Self::Consistency,
            "FlowMatchEulerDiscreteScheduler" => Self::FlowEuler,
            "FlowMatchHeunDiscreteScheduler" => Self::FlowHeun,
            _ => return None,
        })
    }

    /// True if the class steps between timesteps and has no σ.
    pub fn by_index(self) -> bool {
        matches!(self, Self::Ddpm | Self::Ddim | Self::Pndm | Self::Lcm | Self::Tcd)
    }

    /// True if its noise levels follow from betas.
    pub fn has_betas(self) -> bool {
        !matches!(
            self,
            Self::Ipndm
                | Self::EdmEuler
                | Self::EdmDpmMultistep
                | Self::Consistency
                | Self::FlowEuler
                | Self::FlowHeun
        )
    }

    /// True if it chooses n of n + 1 timesteps and truncates them to whole numbers.
    pub(super) fn is_multistep(self) -> bool {
        matches!(
            self,
            Self::DpmMultistep | Self::UniPc | Self::DpmSinglestep | Self::Deis | Self::SaSolver
        )
    }

    /// The scale of its samples, unless arguments change it.
    pub(super) fn space(self) -> Space {
        match self {
            Self::FlowEuler | Self::FlowHeun => Space::Flow,
            Self::Ipndm => Space::UnitVariance,
            _ if self.by_index() || self.is_multistep() => Space::UnitVariance,
            _ => Space::Sigma,
        }
    }
}

/// The scale of a scheduler's samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Space {
    /// √ᾱ·x0 + √(1−ᾱ)·ε.
    UnitVariance,
    /// x0 + σ·ε.
    Sigma,
    /// (1 − t)·x0 + t·ε.
    Flow,
}

impl Space {
    /// The factor from x of unit variance to x of this scale.
    pub fn scale(self, level: NoiseLevel) -> f64 {
        match self {
            Self::UnitVariance => 1.0,
            Self::Sigma => 1.0 / level.signal(),
            Self::Flow => 1.0 / (level.signal() + level.noise()),
        }
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
    /// `flow_prediction`.
    FlowPrediction,
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
    /// `data_prediction`, of SASolverScheduler.
    #[serde(rename = "data_prediction")]
    DataPrediction,
    /// `noise_prediction`, of SASolverScheduler.
    #[serde(rename = "noise_prediction")]
    NoisePrediction,
}

/// `sigma_schedule` of the EDM schedulers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SigmaSchedule {
    /// `karras`.
    #[default]
    Karras,
    /// `exponential`.
    Exponential,
}

/// `time_shift_type` of the flow schedulers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimeShift {
    /// `exponential`.
    #[default]
    Exponential,
    /// `linear`.
    Linear,
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
        matches!(self, Self::DpmsolverPp | Self::SdeDpmsolverPp | Self::DataPrediction)
    }

    /// True if the solver adds noise.
    pub(super) fn is_stochastic(self) -> bool {
        matches!(self, Self::SdeDpmsolver | Self::SdeDpmsolverPp)
    }
}
