//! What a network predicts.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::ScheduleError;

/// The target of a network that is given x_t = √ᾱ·x0 + √(1−ᾱ)·ε.
///
/// Given x_t, each of them tells all others, but for ε where ᾱ is 0.
/// Texts and configs spell them in kebab case: `start-x`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MeanType {
    /// ε, the noise in x_t (Ho et al. 2020).
    #[default]
    Epsilon,
    /// x0, the data; `sample` elsewhere.
    #[serde(alias = "start_x", alias = "sample")]
    StartX,
    /// The mean of q(x_{t−1} | x_t, x_0) (Ho et al. 2020, eq. 7).
    #[serde(alias = "previous_x")]
    PreviousX,
    /// v = √ᾱ·ε − √(1−ᾱ)·x0 (Salimans & Ho 2022); `v-prediction` elsewhere.
    #[serde(alias = "v-prediction", alias = "v_prediction")]
    V,
}

impl FromStr for MeanType {
    type Err = ScheduleError;

    /// `epsilon`, `start-x`, `previous-x` or `v`; also `start_x`, `sample`,
    /// `previous_x`, `v_prediction` and `v-prediction`.
    fn from_str(text: &str) -> Result<Self, ScheduleError> {
        match text {
            "epsilon" => Ok(Self::Epsilon),
            "start-x" | "start_x" | "sample" => Ok(Self::StartX),
            "previous-x" | "previous_x" => Ok(Self::PreviousX),
            "v" | "v-prediction" | "v_prediction" => Ok(Self::V),
            _ => Err(ScheduleError::MeanType(text.to_string())),
        }
    }
}

impl fmt::Display for MeanType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Epsilon => "epsilon",
            Self::StartX => "start-x",
            Self::PreviousX => "previous-x",
            Self::V => "v",
        })
    }
}
