//! Commands that several processes run together.

use std::time::Duration;

use anyhow::Result;
use inkdrop::dist::{TimeLimits, WorkerEnv, World};

/// Time limits of several processes, started by `inkdrop launch` or torchrun.
#[derive(Debug, clap::Args)]
pub struct ProcessesArgs {
    /// Several processes: time until all have started
    #[arg(long, value_name = "SECONDS", default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..))]
    start_timeout: u64,
    /// Several processes: time until all have finished a step, a checkpoint or the validation
    #[arg(long, value_name = "SECONDS", default_value_t = 600, value_parser = clap::value_parser!(u64).range(1..))]
    process_timeout: u64,
}

impl ProcessesArgs {
    /// Joins the other processes of the run; `None` if this process is alone.
    pub fn join(&self) -> Result<Option<World>> {
        let worker = WorkerEnv::from_env()?.filter(|worker| worker.world_size > 1);
        let start = Duration::from_secs(self.start_timeout);
        let limits = TimeLimits { start, answer: Duration::from_secs(self.process_timeout) };
        Ok(worker.map(|worker| World::join(worker, limits)).transpose()?)
    }
}
