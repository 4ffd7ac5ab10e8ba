//! What can stop a training run.

use std::path::PathBuf;

use inkdrop_checkpoint::CheckpointError;
use inkdrop_data::DataError;
use inkdrop_process::ProcessError;
use inkdrop_torch::TorchError;
use tch::TchError;

/// Why training cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// A number in the config cannot be.
    #[error("{field} = {given}: expected {expected}")]
    Field {
        /// The config's field.
        field: &'static str,
        /// Its value.
        given: String,
        /// What it can be.
        expected: &'static str,
    },
    /// The images are not those that the network takes.
    #[error("the data has {given}, the network takes {expected}")]
    Data {
        /// What the data has.
        given: String,
        /// What the network takes.
        expected: String,
    },
    /// There is no average of this rule.
    #[error("train.ema has no rule {given}: expected one of {known}")]
    Average {
        /// The rule.
        given: String,
        /// Those that there are.
        known: String,
    },
    /// PyTorch numbers its optimiser's state by an order of the weights that is not known.
    #[error(
        "the order of {given} of {expected} trained weights is known: expected that of the network's own torch.save file, all of them"
    )]
    Order {
        /// How many trained weights have a place.
        given: usize,
        /// How many there are.
        expected: usize,
    },
    /// The images or labels are not those that the checkpoint was learned from.
    #[error("the data has changed: the run has learned from {saved}; now there are {now}")]
    DataChanged {
        /// What there was.
        saved: String,
        /// What there is.
        now: String,
    },
    /// The run folder holds something already.
    #[error("{} already holds a run; continue it with --resume, or choose another folder", .0.display())]
    Occupied(PathBuf),
    /// Another process trains in the run folder.
    #[error("{} is in use by another process; wait for it, or choose another folder", .0.display())]
    InUse(PathBuf),
    /// There is no run to go on with.
    #[error("{} holds no run to resume: {problem}", folder.display())]
    NothingToResume {
        /// The folder.
        folder: PathBuf,
        /// What is missing.
        problem: String,
    },
    /// A loss or a gradient stopped being a number.
    #[error("the {what} became {value} at step {step}; {kept}. A smaller train.lr may help")]
    NotFinite {
        /// Which of both.
        what: &'static str,
        /// The step, from 1.
        step: usize,
        /// NaN or an infinity.
        value: f64,
        /// What is left of the run.
        kept: String,
    },
    /// A file of the run folder cannot be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A sample grid could not be made, or a line of the log not be passed on.
    #[error("what watches the run failed: {0}")]
    TrainerCallback(Box<dyn std::error::Error + Send + Sync>),
    /// A checkpoint cannot be read or written.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The images or their order cannot be.
    #[error(transparent)]
    Images(#[from] DataError),
    /// The process or the network failed.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// libtorch failed.
    #[error(transparent)]
    Torch(#[from] TorchError),
}

impl From<TchError> for TrainError {
    fn from(error: TchError) -> Self {
        Self::Torch(error.into())
    }
}
