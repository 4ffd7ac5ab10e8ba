//! Prediction types: the quantity that a network is trained to predict.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::ScheduleError;

/// The training target of a network that receives x_t = √ᾱ·x0 + √(1−ᾱ)·ε.
///
/// Given x_t, each target determines the others, except that ε does not determine x0 where ᾱ is 0.
/// The text form is kebab case: `posterior-mean`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PredictionType {
    /// ε, the noise in x_t (Ho et al. 2020).
    #[default]
    Epsilon,
    /// x0, the clean sample. improved-diffusion calls it `start_x`.
    #[serde(alias = "start-x", alias = "start_x")]
    Sample,
    /// The mean of the posterior q(x_{t−1} | x_t, x_0) (Ho et al. 2020, eq. 7).
    /// improved-diffusion calls it `previous_x`.
    #[serde(alias = "previous-x", alias = "previous_x")]
    PosteriorMean,
    /// v = √ᾱ·ε − √(1−ᾱ)·x0 (Salimans & Ho 2022). diffusers calls it `v_prediction`.
    #[serde(alias = "v", alias = "v-prediction", alias = "v_prediction")]
    Velocity,
}

impl FromStr for PredictionType {
    type Err = ScheduleError;

    /// Reads `epsilon`, `sample`, `posterior-mean` or `velocity`, and the names of improved-diffusion
    /// and diffusers: `start_x`, `previous_x`, `v`, `v_prediction`, with `_` or `-`.
    fn from_str(text: &str) -> Result<Self, ScheduleError> {
        match text.replace('_', "-").as_str() {
            "epsilon" => Ok(Self::Epsilon),
            "sample" | "start-x" => Ok(Self::Sample),
            "posterior-mean" | "previous-x" => Ok(Self::PosteriorMean),
            "velocity" | "v" | "v-prediction" => Ok(Self::Velocity),
            _ => Err(ScheduleError::PredictionType(text.to_string())),
        }
    }
}

impl fmt::Display for PredictionType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Epsilon => "epsilon",
            Self::Sample => "sample",
            Self::PosteriorMean => "posterior-mean",
            Self::Velocity => "velocity",
        })
    }
}
