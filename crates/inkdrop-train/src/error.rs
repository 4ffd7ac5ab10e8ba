//! Errors of training.

use std::path::PathBuf;

use inkdrop_checkpoint::CheckpointError;
use inkdrop_data::DataError;
use inkdrop_process::ProcessError;
use inkdrop_torch::TorchError;
use inkdrop_torch::tch::TchError;

use crate::data_parallel::ProcessesError;

/// An error of training.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// A field of the config is out of range.
    #[error("{field} = {given}: expected {expected}")]
    Field {
        /// The field.
        field: &'static str,
        /// Its value.
        given: String,
        /// The expected range.
        expected: &'static str,
    },
    /// The data does not fit the network.
    #[error("the data has {given}, the network takes {expected}")]
    Data {
        /// Property of the data.
        given: String,
        /// Property that the network requires.
        expected: String,
    },
    /// No moving average has this decay.
    #[error("train.ema has no decay {given}: expected one of {known}")]
    Average {
        /// The decay.
        given: String,
        /// The decays of the config.
        known: String,
    },
    /// The order of the weights in PyTorch's optimizer state is unknown.
    #[error(
        "the order of {given} of {expected} trained weights is known: expected all, from the network's own torch.save file"
    )]
    Order {
        /// Number of trained weights in the order.
        given: usize,
        /// Number of trained weights.
        expected: usize,
    },
    /// The images or labels differ from those of the checkpoint.
    #[error("the data has changed: the checkpoint was trained on {saved}; now there are {now}")]
    DataChanged {
        /// The data of the checkpoint.
        saved: String,
        /// The data of this run.
        now: String,
    },
    /// The config or the data of another process of the run is another one.
    #[error("this process does not train what process 0 trains: {0}")]
    Differs(String),
    /// A process of the run has ended or does not answer.
    #[error("{0}")]
    Processes(#[source] ProcessesError),
    /// The run directory is not empty.
    #[error("{run} already holds a run; `inkdrop train --resume --out {run}` continues it, or choose another directory", run = .0.display())]
    Occupied(PathBuf),
    /// Another process uses the run directory.
    #[error("{} is in use by another process; wait for it, or choose another directory", .0.display())]
    InUse(PathBuf),
    /// The folder holds no run to resume.
    #[error("{} holds no run to resume: {problem}", folder.display())]
    NothingToResume {
        /// The folder.
        folder: PathBuf,
        /// The missing part.
        problem: String,
    },
    /// The loss or the gradient norm is NaN or infinite.
    #[error("the {what} became {value} at step {step}; {kept}. A smaller train.lr may help")]
    NotFinite {
        /// `loss` or `gradient`.
        what: &'static str,
        /// The step, from 1.
        step: usize,
        /// The value.
        value: f64,
        /// The last good checkpoint, in words.
        kept: String,
    },
    /// An image cannot be read. The state before this step is saved.
    #[error(
        "{source}; the state after step {step} is saved in {}. Mend or remove the file{}, and continue with --resume",
        saved.display(),
        or_skip(source)
    )]
    BrokenImage {
        /// The error of the image.
        source: DataError,
        /// Number of steps done.
        step: usize,
        /// The checkpoint.
        saved: PathBuf,
    },
    /// A file of the run directory cannot be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// A callback returned an error.
    #[error("the training callback failed: {0}")]
    Callback(Box<dyn std::error::Error + Send + Sync>),
    /// A checkpoint cannot be read or written.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The images cannot be read, or the batch size is out of range.
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

/// The other remedy for an image that cannot be read, if it may be left out.
fn or_skip(error: &DataError) -> &'static str {
    match error {
        DataError::Damaged { .. } => {
            ", or leave it out with --set data.broken=skip (validation.broken for validation images) --allow-changes"
        }
        _ => "",
    }
}
