//! Errors of the processes of a run.

use inkdrop_torch::TorchError;

/// An error of the processes of a run.
#[derive(Debug, thiserror::Error)]
pub enum DistError {
    /// An environment variable is missing.
    #[error(
        "WORLD_SIZE is set, {0} is not: start the processes by torchrun or `inkdrop launch`, or unset WORLD_SIZE"
    )]
    Missing(&'static str),
    /// An environment variable is out of range.
    #[error("the environment variable {name} is {given:?}, expected {expected}")]
    Variable {
        /// Its name.
        name: &'static str,
        /// Its value.
        given: String,
        /// The expected range.
        expected: String,
    },
    /// The store cannot be served or reached.
    #[error("{0}")]
    Store(String),
    /// Processes have not joined within the time.
    #[error("{} of {world_size} did not start within {seconds} s", ranks(absent))]
    Absent {
        /// The ranks.
        absent: Vec<usize>,
        /// Number of processes.
        world_size: usize,
        /// The limit.
        seconds: u64,
    },
    /// Another process has the same rank.
    #[error(
        "another process has joined as process {rank} at {address}: do two runs use one port? Choose another MASTER_PORT"
    )]
    Taken {
        /// The rank.
        rank: usize,
        /// Host and port of the store.
        address: String,
    },
    /// Processes were started with different arguments.
    #[error("this process has {what} {given}, process 0 has {expected}")]
    Differs {
        /// The property.
        what: &'static str,
        /// Its value here.
        given: String,
        /// Its value in process 0.
        expected: String,
    },
    /// Processes have ended, or do not answer.
    #[error("{0}")]
    Lost(String),
    /// The backend has no known name.
    #[error("unknown backend `{0}`: expected auto, gloo or nccl")]
    Backend(String),
    /// Gloo cannot use a GPU.
    #[error("the backend gloo works on CPUs: give --backend nccl, or --device cpu")]
    Device,
    /// NCCL failed to create its communicator.
    #[error("NCCL cannot join the processes: {0}; each needs a GPU of its own")]
    Nccl(TorchError),
    /// libtorch failed.
    #[error(transparent)]
    Torch(#[from] TorchError),
}

/// "process 1" or "processes 1, 2".
pub(crate) fn ranks(ranks: &[usize]) -> String {
    let listed: Vec<String> = ranks.iter().map(ToString::to_string).collect();
    match listed.as_slice() {
        [one] => format!("process {one}"),
        all => format!("processes {}", all.join(", ")),
    }
}
