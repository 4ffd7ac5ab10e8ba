//! Checkpointing: the complete state of a run in one file, and resuming from it.

use std::path::Path;

use inkdrop_checkpoint::{CheckpointError, StateDict};
use inkdrop_process::DiffusionConfig;
use inkdrop_torch::tch::Tensor;
use serde_json::Value;

use crate::{EmaDecay, LossScaler, Precision, RunFolder, TrainError, Trainer};

/// Policy for a checkpoint that was trained on other data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OtherData {
    /// Return an error.
    Refused,
    /// Resume with the current data.
    Allowed,
}

impl Trainer {
    /// The complete state: f32 weights, EMA, optimizer state, loss scale, timestep sampler and
    /// step. Data order and random numbers follow from the step.
    ///
    /// With several processes and a sharded optimizer state, all of them call it together.
    ///
    /// # Errors
    /// libtorch failed.
    pub fn state(&self) -> Result<StateDict, TrainError> {
        let mut state = StateDict::default();
        put(&mut state, "network.", &self.master.weights());
        for decay in self.ema.decays() {
            if let Some(weights) = self.ema.weights(decay) {
                put(&mut state, &prefix(decay), &weights);
            }
        }
        match self.optimizer.is_sharded() {
            true => self.optimizer.gather(&self.processes, Some(&mut state))?,
            false => self.optimizer.save(&mut state)?,
        }
        self.timestep_sampler.save(&mut state)?;
        for (key, text) in &self.checkpoint_metadata {
            state.set_metadata_text(key, text.as_str());
        }
        state.set_metadata("step", &self.step)?;
        state.set_metadata("data", &self.data)?;
        state.set_metadata("origin", &self.origin)?;
        state.set_metadata("window", &self.metrics)?;
        let decays: Vec<EmaDecay> = self.ema.decays().collect();
        let begins: Vec<usize> = decays.iter().filter_map(|decay| self.ema.begin(*decay)).collect();
        state.set_metadata("ema", &decays)?;
        state.set_metadata("ema_begin", &begins)?;
        if self.config.precision == Precision::F16 {
            state.set_metadata("loss_scale", &self.loss_scaler.log2())?;
        }
        Ok(state)
    }

    /// Saves the state as a checkpoint in the run directory, and deletes expired checkpoints.
    ///
    /// # Errors
    /// The checkpoint cannot be written.
    pub fn save(&self, folder: &RunFolder) -> Result<(), TrainError> {
        folder.save(&self.state()?, self.step, self.config.checkpoints())
    }

    /// Sends this process's share of the optimizer state to process 0, which saves it.
    pub(crate) fn send_state(&self) -> Result<(), TrainError> {
        match self.optimizer.is_sharded() {
            true => self.optimizer.gather(&self.processes, None),
            false => Ok(()),
        }
    }

    /// Restores the state of a checkpoint. An EMA that the checkpoint lacks starts from the
    /// network's weights.
    ///
    /// # Errors
    /// The file cannot be read, is not of this network, or was trained on other data and
    /// `other_data` is [`OtherData::Refused`].
    pub fn restore(&mut self, path: &Path, other_data: OtherData) -> Result<(), TrainError> {
        let state = StateDict::open(path)?;
        let step: Option<usize> = state.metadata("step")?;
        let step = step.ok_or_else(|| CheckpointError::Metadata {
            key: "step".to_string(),
            problem: format!("{} has none: it is not a training checkpoint", path.display()),
        })?;
        self.check_data(&state, other_data)?;
        self.set_state(&state, step)
    }

    fn set_state(&mut self, state: &StateDict, step: usize) -> Result<(), TrainError> {
        let network = state.below("network.");
        self.master.set(self.network.params(), &network, &[])?;
        self.restore_ema(state, &network, step)?;
        self.optimizer.restore(state)?;
        self.timestep_sampler.restore(state)?;
        // A checkpoint of another precision has no loss scale for this one.
        let log2: Option<f64> = state.metadata("loss_scale")?;
        if let Some(log2) = log2.filter(|_| self.config.precision == Precision::F16) {
            self.loss_scaler = LossScaler::new(log2);
        }
        self.origin = state.metadata("origin")?.unwrap_or_default();
        self.reset_metrics();
        self.metrics = state.metadata("window")?.unwrap_or_default();
        (self.last_batch, self.pending) = (None, None);
        self.step = step;
        Ok(())
    }

    /// Gives all processes of a run the state of process 0, after a check that they train the same.
    ///
    /// # Errors
    /// The config or the data differ from process 0's, or a process ended.
    pub(crate) fn synchronize(&mut self) -> Result<(), TrainError> {
        if self.processes.count() == 1 {
            return Ok(());
        }
        let own = self.description();
        let expected = self.processes.broadcast_text(&own)?;
        if let Some((given, expected)) = first_difference(&own, &expected) {
            return Err(TrainError::Differs(format!(
                "it has {given:?}, process 0 has {expected:?}"
            )));
        }
        self.match_sharding()?;
        let mut state = self.state()?;
        for key in METADATA {
            let text = state.metadata_text(key).unwrap_or_default();
            let text = self.processes.broadcast_text(text)?;
            if !text.is_empty() {
                state.set_metadata_text(key, text);
            }
        }
        self.processes.broadcast(&state.iter().map(|(_, tensor)| tensor).collect::<Vec<_>>())?;
        let step: Option<usize> = state.metadata("step")?;
        self.set_state(&state, step.unwrap_or(self.step))?;
        if self.shards_optimizer() {
            self.optimizer.shard(&self.processes);
        }
        Ok(())
    }

    /// Process 0 has the whole optimizer state after a restore, and before the first run: then all others
    /// get room for it. Else the shares are gathered.
    fn match_sharding(&mut self) -> Result<(), TrainError> {
        let sharded = Tensor::f_from_slice(&[i64::from(self.optimizer.is_sharded())])?;
        self.processes.broadcast(&[&sharded])?;
        if sharded.f_int64_value(&[0])? == 0 {
            return self.optimizer.make_whole();
        }
        self.optimizer.shard(&self.processes);
        Ok(())
    }

    /// What all processes of a run have in common, one property a line.
    fn description(&self) -> String {
        let mut lines = vec![format!("inkdrop {}", env!("CARGO_PKG_VERSION"))];
        if let Ok(Value::Object(fields)) = serde_json::to_value(&self.config) {
            lines.extend(fields.iter().map(|(key, value)| format!("train.{key} = {value}")));
        }
        lines.push(match self.process().config() {
            DiffusionConfig::Timesteps(config) => format!("process: {config:?}"),
            DiffusionConfig::Continuous(config) => format!("process: {config:?}"),
        });
        lines.push(format!("data: {}", self.data));
        lines.extend(self.network.params().iter().map(|param| {
            format!("{}: {:?} {:?}", param.name, param.tensor.size(), param.tensor.kind())
        }));
        lines.join("\n")
    }

    fn check_data(&self, state: &StateDict, other_data: OtherData) -> Result<(), TrainError> {
        let saved: Option<String> = state.metadata("data")?;
        match saved.filter(|saved| *saved != self.data && other_data == OtherData::Refused) {
            Some(saved) => Err(TrainError::DataChanged { saved, now: self.data.clone() }),
            None => Ok(()),
        }
    }

    fn restore_ema(
        &mut self,
        state: &StateDict,
        network: &StateDict,
        step: usize,
    ) -> Result<(), TrainError> {
        let saved = saved_averages(state)?;
        for decay in self.ema.decays().collect::<Vec<_>>() {
            let begin = match saved.iter().find(|(own, _)| *own == decay) {
                Some((_, begin)) => {
                    self.ema.set(Some(decay), &state.below(&prefix(decay)))?;
                    *begin
                }
                None => {
                    self.ema.set(Some(decay), network)?;
                    step
                }
            };
            self.ema.set_begin(decay, Some(begin));
        }
        Ok(())
    }
}

/// The metadata of [`Trainer::state`].
const METADATA: [&str; 8] =
    ["step", "data", "origin", "window", "ema", "ema_begin", "loss_scale", "adam_steps"];

/// The averages in a checkpoint, and the step at which each began; 0 in files of earlier versions.
pub(crate) fn saved_averages(state: &StateDict) -> Result<Vec<(EmaDecay, usize)>, TrainError> {
    let decays: Vec<EmaDecay> = state.metadata("ema")?.unwrap_or_default();
    let mut begins: Vec<usize> = state.metadata("ema_begin")?.unwrap_or_default();
    begins.resize(decays.len(), 0);
    Ok(decays.into_iter().zip(begins).collect())
}

/// The first line in which two texts differ.
fn first_difference<'a>(own: &'a str, other: &'a str) -> Option<(&'a str, &'a str)> {
    let (mut own, mut other) = (own.lines(), other.lines());
    loop {
        match (own.next(), other.next()) {
            (None, None) => return None,
            (one, two) if one == two => {}
            (one, two) => return Some((one.unwrap_or("nothing"), two.unwrap_or("nothing"))),
        }
    }
}

/// The key prefix of an EMA. No decay contains a `/`.
pub(crate) fn prefix(decay: EmaDecay) -> String {
    format!("average/{decay}/")
}

fn put(state: &mut StateDict, prefix: &str, weights: &StateDict) {
    for (name, tensor) in weights.iter() {
        state.insert(format!("{prefix}{name}"), tensor.shallow_clone());
    }
}
