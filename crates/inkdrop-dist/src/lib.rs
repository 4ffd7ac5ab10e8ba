#![doc = include_str!("../README.md")]

// Process groups and signals are those of Unix.
#[cfg(unix)]
mod launch;
#[cfg(unix)]
mod watch;

#[cfg(unix)]
pub use launch::{
    HookError, Launch, LaunchBuilder, LaunchConfig, LaunchError, LaunchEvent, LaunchOutcome,
    LaunchReport, MasterAddress, Rendezvous, StopHandle, StopSignal, WorkerEnd, WorkerOutput,
    WorkerStatus,
};
#[cfg(unix)]
pub use watch::{LAUNCHER_PID, watch_parent};
