//! How the learning rate falls.

use serde::{Deserialize, Serialize};

/// How the learning rate falls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LrSchedule {
    /// Not at all (Ho et al. 2020).
    Constant,
    /// On a straight line to 0 (improved-diffusion's annealing, the sprites notebook).
    #[default]
    Linear,
    /// Along half a cosine to 0 (Loshchilov & Hutter 2017).
    Cosine,
}

impl LrSchedule {
    /// The factor at a share of the steps, 1 to 0.
    pub(super) fn factor(self, share: f64) -> f64 {
        match self {
            Self::Constant => 1.0,
            Self::Linear => 1.0 - share,
            Self::Cosine => 0.5 * (1.0 + (std::f64::consts::PI * share).cos()),
        }
    }
}
