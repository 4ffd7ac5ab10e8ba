//! Errors of launching workers.

use std::ffi::OsString;
use std::io;

/// Error of a hook that prepares a round of workers.
pub type HookError = Box<dyn std::error::Error + Send + Sync>;

/// An error of the launcher itself. The failure of a worker is a
/// [`LaunchOutcome`](crate::LaunchOutcome).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LaunchError {
    /// A field of the config is out of range.
    #[error("{field} is {given}: expected {expected}")]
    Field {
        /// The field.
        field: &'static str,
        /// Its value.
        given: String,
        /// The expected range.
        expected: String,
    },
    /// Several nodes have no common address.
    #[error("{nodes} nodes need the address of node 0: give master as HOST:PORT")]
    NoMaster {
        /// Number of nodes.
        nodes: usize,
    },
    /// Restarts are not available with several nodes.
    #[error(
        "max_restarts is {max_restarts} with {nodes} nodes: the launchers of several nodes cannot restart together; set it to 0"
    )]
    RestartOfNodes {
        /// Number of restarts.
        max_restarts: usize,
        /// Number of nodes.
        nodes: usize,
    },
    /// The text is not an address.
    #[error("{given:?} is not an address: {problem}; expected HOST:PORT or [IPv6]:PORT")]
    Address {
        /// The text.
        given: String,
        /// The problem.
        problem: &'static str,
    },
    /// No port of the loopback interface is free.
    #[error("cannot find a free port on 127.0.0.1: {0}")]
    Port(#[source] io::Error),
    /// The hook before a round failed.
    #[error("cannot prepare the start of the workers: {0}")]
    Hook(#[source] HookError),
    /// The command does not exist.
    #[error("cannot find the command {command:?}: give its path, or a program in PATH")]
    NotFound {
        /// The command.
        command: OsString,
    },
    /// A process could not be started.
    #[error("cannot start {command:?} as rank {rank}: {source}")]
    Spawn {
        /// The command.
        command: OsString,
        /// Rank of the worker.
        rank: usize,
        /// The error of the system.
        source: io::Error,
    },
    /// The end of a worker could not be read.
    #[error("cannot wait for rank {rank}: {source}")]
    Wait {
        /// Rank of the worker.
        rank: usize,
        /// The error of the system.
        source: io::Error,
    },
    /// The output of the workers could not be written.
    #[error("cannot write the output of the workers: {0}")]
    Output(#[source] io::Error),
    /// The launch has ended with an error before.
    #[error("the launch has already ended with an error")]
    Ended,
}

impl LaunchError {
    pub(super) fn spawn(command: OsString, rank: usize, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::NotFound => Self::NotFound { command },
            _ => Self::Spawn { command, rank, source },
        }
    }
}
