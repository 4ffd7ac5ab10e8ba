//! Which precision a network computes in, and what keeps small gradients from vanishing.

use serde::{Deserialize, Serialize};
use tch::Kind;

/// The precision of the convolutions and of attention while training; weights, averages and the
/// optimiser stay in f32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 32 bits.
    #[default]
    F32,
    /// 16 bits with the range of 32.
    Bf16,
    /// 16 bits with a scaled loss.
    F16,
}

impl Precision {
    /// The kind that the trained network is built with.
    pub fn torso(self) -> Kind {
        match self {
            Self::F32 => Kind::Float,
            Self::Bf16 => Kind::BFloat16,
            Self::F16 => Kind::Half,
        }
    }
}

/// The factor of the loss in f16, as improved-diffusion moves it: half as large after gradients
/// that overflow, and a little larger after each step that is good.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LossScaler {
    log2: f64,
}

impl LossScaler {
    /// Where it starts: 2²⁰.
    pub const START: f64 = 20.0;
    /// What log2 of it gains with each good step.
    pub const GROWTH: f64 = 1e-3;
    /// The log2 below which no scale would help.
    pub const LEAST: f64 = -20.0;

    /// A scale by its log2.
    pub fn new(log2: f64) -> Self {
        Self { log2 }
    }

    /// Log2 of the factor.
    pub fn log2(self) -> f64 {
        self.log2
    }

    /// The factor.
    pub fn factor(self) -> f64 {
        self.log2.exp2()
    }

    /// After a step: whether its gradients were finite, so that it was taken.
    pub fn after(self, finite: bool) -> Self {
        Self { log2: if finite { self.log2 + Self::GROWTH } else { self.log2 - 1.0 } }
    }
}
