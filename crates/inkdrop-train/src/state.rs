//! Everything that a run needs to go on, in one file.

use std::path::Path;

use inkdrop_checkpoint::{CheckpointError, Weights};

use crate::{EmaRule, LossScale, TrainError, Trainer};

impl Trainer {
    /// The whole state: weights in f32, averages, optimiser, loss scale, what the timestep
    /// sampler has seen, and the step, from which the place in the data and in the random
    /// numbers follows.
    ///
    /// # Errors
    /// libtorch failed.
    pub fn state(&self) -> Result<Weights, TrainError> {
        let mut state = Weights::default();
        put(&mut state, "network.", &self.master.weights());
        for rule in self.averages.rules() {
            if let Some(weights) = self.averages.weights(rule) {
                put(&mut state, &prefix(rule), &weights);
            }
        }
        self.adam.save(&mut state)?;
        self.timesteps.save(&mut state)?;
        state.set_metadata("step", &self.step)?;
        state.set_metadata("loss_scale", &self.scale.log2())?;
        state.set_metadata("ema", &self.averages.rules().collect::<Vec<_>>())?;
        Ok(state)
    }

    /// Goes back to a saved state. The average of a rule that the state has not begins as the
    /// weights.
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
        let network = state.below("network.");
        self.master.set(self.network.params(), &network)?;
        let saved: Vec<EmaRule> = state.metadata("ema")?.unwrap_or_default();
        for rule in self.averages.rules().collect::<Vec<_>>() {
            match saved.contains(&rule) {
                true => self.averages.set(Some(rule), &state.below(&prefix(rule)))?,
                false => self.averages.set(Some(rule), &network)?,
            }
        }
        self.adam.restore(&state)?;
        self.timesteps.restore(&state)?;
        let scale: Option<f64> = state.metadata("loss_scale")?;
        // Another precision begins with its own.
        if let Some(log2) = scale.filter(|&log2| log2 != 0.0 && self.scale.log2() != 0.0) {
            self.scale = LossScale::new(log2);
        }
        self.latest = None;
        self.step = step;
        Ok(())
    }
}

fn prefix(rule: EmaRule) -> String {
    format!("average.{rule}.")
}

fn put(state: &mut Weights, prefix: &str, weights: &Weights) {
    for (name, tensor) in weights.iter() {
        state.insert(format!("{prefix}{name}"), tensor.shallow_clone());
    }
}
