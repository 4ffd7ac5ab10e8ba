//! What a launch reports: events while it runs, and how it ended.

use std::fmt;

use super::stop::StopSignal;
use super::worker::WorkerEnd;

/// What happens during a launch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum LaunchEvent {
    /// A worker has ended, and its output is written.
    Ended(WorkerEnd),
    /// All workers have ended after a failure, and start again.
    Restarting {
        /// Number of this restart, from 1.
        restart: usize,
        /// Largest number of restarts.
        max_restarts: usize,
    },
}

impl fmt::Display for LaunchEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ended(end) => end.fmt(f),
            Self::Restarting { restart, max_restarts } => {
                write!(f, "all workers start again: restart {restart} of {max_restarts}")
            }
        }
    }
}

/// How a launch ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LaunchOutcome {
    /// All workers ended with status 0.
    Finished,
    /// This worker of the last round failed first; the others had to end.
    Failed(WorkerEnd),
    /// A stop was requested, and no worker failed otherwise.
    Stopped(StopSignal),
}

/// How a launch and its workers ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaunchReport {
    /// How the launch ended.
    pub outcome: LaunchOutcome,
    /// How each worker of the last round ended, by rank.
    pub workers: Vec<WorkerEnd>,
    /// Number of restarts.
    pub restarts: usize,
}

impl LaunchReport {
    /// Exit code for the launcher: 0; that of the worker that failed first, or 128 + its signal;
    /// 130 or 143 after a stop.
    pub fn exit_code(&self) -> i32 {
        match self.outcome {
            LaunchOutcome::Finished => 0,
            LaunchOutcome::Failed(end) => end.status.exit_code(),
            LaunchOutcome::Stopped(signal) => signal.exit_code(),
        }
    }
}

impl fmt::Display for LaunchReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.outcome {
            LaunchOutcome::Finished => write!(f, "all workers ended with status 0"),
            LaunchOutcome::Failed(end) => end.fmt(f),
            LaunchOutcome::Stopped(StopSignal::Interrupt) => write!(f, "stopped by SIGINT"),
            LaunchOutcome::Stopped(StopSignal::Terminate) => write!(f, "stopped by SIGTERM"),
        }
    }
}
