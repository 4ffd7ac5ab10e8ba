#![doc = include_str!("../README.md")]

mod data_parallel;
mod error;
mod group;
mod heartbeat;
mod worker_env;

pub use data_parallel::DistributedDataParallel;
pub use error::DistError;
pub use group::{FailureReport, TimeLimits, World};
pub use worker_env::WorkerEnv;
