//! The recipe of a consistency model: mid-training and tuning in one run.

use serde::{Deserialize, Serialize};

use super::{ConsistencyMidTraining, ConsistencyTuning, TrajectoryPoints};
use crate::ProcessError;

/// Consistency mid-training for the first steps of a training (Hu et al. 2025), then consistency tuning
/// (Geng et al. 2024).
///
/// Weights, averages and optimizer go on from one phase to the next, and the learning rate follows one
/// schedule. In a config: `loss = { consistency-phases = { share = 0.125 } }`.
///
/// ```
/// use inkdrop_process::ConsistencyPhases;
///
/// assert_eq!(ConsistencyPhases::default().mid_training_steps(8000), 1000);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ConsistencyPhases {
    /// Share of the steps that mid-training takes; in [0, 1].
    pub share: f64,
    /// The first phase.
    pub mid_training: ConsistencyMidTraining,
    /// The second phase; its stages count from its own first step.
    pub tuning: ConsistencyTuning,
}

impl Default for ConsistencyPhases {
    /// An eighth of the steps, with one point of each trajectory.
    fn default() -> Self {
        let points = TrajectoryPoints::One;
        Self {
            share: 0.125,
            mid_training: ConsistencyMidTraining { points, ..ConsistencyMidTraining::default() },
            tuning: ConsistencyTuning::default(),
        }
    }
}

impl ConsistencyPhases {
    /// Validates the numbers.
    pub(super) fn check(&self) -> Result<(), ProcessError> {
        let Self { share, mid_training, tuning } = self;
        if !(0.0..=1.0).contains(share) {
            let (given, expected) = (*share, "0 to 1");
            return Err(ProcessError::Field { field: "share", given, expected });
        }
        mid_training.check()?;
        tuning.check()
    }

    /// The number of steps of the first phase, the share of all steps to the nearest one.
    pub fn mid_training_steps(&self, steps: usize) -> usize {
        (self.share * steps as f64).round() as usize
    }
}
