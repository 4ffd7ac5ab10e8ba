#![doc = include_str!("../README.md")]

mod backend;
mod data_parallel;
mod error;
mod heartbeat;
// Process groups and signals are those of Unix.
#[cfg(unix)]
mod launch;
mod nccl_watch;
#[cfg(unix)]
mod watch;
mod worker_env;
mod world;

pub use backend::Backend;
pub use data_parallel::DistributedDataParallel;
pub use error::DistError;
#[cfg(unix)]
pub use launch::{
    HookError, Launch, LaunchBuilder, LaunchConfig, LaunchError, LaunchEvent, LaunchOutcome,
    LaunchReport, MasterAddress, Rendezvous, StopHandle, StopSignal, WorkerEnd, WorkerOutput,
    WorkerStatus,
};
#[cfg(unix)]
pub use watch::{LAUNCHER_PID, watch_parent};
pub use worker_env::WorkerEnv;
pub use world::{FailureReport, TimeLimits, World};
