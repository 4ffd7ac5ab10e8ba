//! Everything that a run needs to go on, in one file.

use std::path::Path;

use inkdrop_checkpoint::{CheckpointError, Weights, load};
use inkdrop_nn::Params;

use crate::{TrainError, Trainer};

impl Trainer {
    /// The whole state: network, average, optimiser and step.
    ///
    /// # Errors
    /// libtorch failed.
    pub fn state(&self) -> Result<Weights, TrainError> {
        let mut state = Weights::default();
        put(&mut state, "network.", self.network.params());
        put(&mut state, "average.", self.average().params());
        self.adam.save(&mut state);
        state.set_metadata("step", &self.step)?;
        Ok(state)
    }

    /// Goes back to a saved state.
    ///
    /// # Errors
    /// The file cannot be read, or belongs to another network.
    pub fn restore(&mut self, path: &Path) -> Result<(), TrainError> {
        let state = Weights::open(path)?;
        let step: Option<usize> = state.metadata("step")?;
        let step = step.ok_or_else(|| CheckpointError::Metadata {
            key: "step".to_string(),
            problem: format!("{} has none: it is no training checkpoint", path.display()),
        })?;
        load(self.network.params(), &state.below("network."), &[])?;
        load(self.average().params(), &state.below("average."), &[])?;
        self.adam.restore(&state, step)?;
        self.step = step;
        Ok(())
    }
}

fn put(state: &mut Weights, prefix: &str, params: &Params) {
    for param in params.iter() {
        state.insert(format!("{prefix}{}", param.name), param.tensor.shallow_clone());
    }
}
