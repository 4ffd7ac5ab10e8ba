//! Everything that a run needs to go on, in one file.

use std::path::Path;

use inkdrop_checkpoint::{CheckpointError, Weights};

use crate::{EmaDecay, LossScaler, Precision, TrainError, Trainer};

/// What becomes of a state that was learned from other images than those that are there now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OtherData {
    /// It is an error.
    Refused,
    /// The run goes on with what is there.
    Allowed,
}

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
        state.set_metadata("data", &self.data)?;
        state.set_metadata("origin", &self.origin)?;
        state.set_metadata("window", &self.window.sums)?;
        state.set_metadata("ema", &self.averages.rules().collect::<Vec<_>>())?;
        if self.config.precision == Precision::F16 {
            state.set_metadata("loss_scale", &self.scale.log2())?;
        }
        Ok(state)
    }

    /// Goes back to a saved state. The average of a rule that the state has not begins as the
    /// weights.
    ///
    /// # Errors
    /// The file cannot be read, belongs to another network, or was learned from other images
    /// and that is to be refused.
    pub fn restore(&mut self, path: &Path, other_data: OtherData) -> Result<(), TrainError> {
        let state = Weights::open(path)?;
        let step: Option<usize> = state.metadata("step")?;
        let step = step.ok_or_else(|| CheckpointError::Metadata {
            key: "step".to_string(),
            problem: format!("{} has none: it is no training checkpoint", path.display()),
        })?;
        let data: Option<String> = state.metadata("data")?;
        let other = data.filter(|saved| *saved != self.data && other_data == OtherData::Refused);
        if let Some(saved) = other {
            return Err(TrainError::DataChanged { saved, now: self.data.clone() });
        }
        let network = state.below("network.");
        self.master.set(self.network.params(), &network, &[])?;
        let saved: Vec<EmaDecay> = state.metadata("ema")?.unwrap_or_default();
        for rule in self.averages.rules().collect::<Vec<_>>() {
            match saved.contains(&rule) {
                true => self.averages.set(Some(rule), &state.below(&prefix(rule)))?,
                false => self.averages.set(Some(rule), &network)?,
            }
        }
        self.adam.restore(&state)?;
        self.timesteps.restore(&state)?;
        // Another precision begins with its own.
        let scale: Option<f64> = state.metadata("loss_scale")?;
        if let Some(log2) = scale.filter(|_| self.config.precision == Precision::F16) {
            self.scale = LossScaler::new(log2);
        }
        self.origin = state.metadata("origin")?.unwrap_or_default();
        self.window = self.new_metrics();
        self.window.sums = state.metadata("window")?.unwrap_or_default();
        self.latest = None;
        self.step = step;
        Ok(())
    }
}

fn prefix(rule: EmaDecay) -> String {
    format!("average/{rule}/") // no rule has such a sign
}

fn put(state: &mut Weights, prefix: &str, weights: &Weights) {
    for (name, tensor) in weights.iter() {
        state.insert(format!("{prefix}{name}"), tensor.shallow_clone());
    }
}
