//! Commands that several processes run together.

use std::time::Duration;

use anyhow::{Result, ensure};
use inkdrop::dist::{Backend, TimeLimits, WorkerEnv, World, watch_parent};
use inkdrop::torch::DeviceChoice;

use crate::output::job::Shard;

/// Time limits of several processes, started by `inkdrop launch` or torchrun.
#[derive(Debug, clap::Args)]
pub struct ProcessesArgs {
    /// Several processes: time until all have started
    #[arg(long, value_name = "SECONDS", default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..))]
    start_timeout: u64,
    /// Several processes: time until all have finished a step, a checkpoint or the validation
    #[arg(long, value_name = "SECONDS", default_value_t = 600, value_parser = clap::value_parser!(u64).range(1..))]
    process_timeout: u64,
    /// Several processes: library of the collectives: auto, gloo (CPUs) or nccl (GPUs)
    #[arg(long, value_name = "NAME", default_value_t)]
    backend: Backend,
}

impl ProcessesArgs {
    /// Joins the other processes of the run; `None` if this process is alone.
    pub fn join(&self) -> Result<Option<World>> {
        let Some(worker) = WorkerEnv::from_env()? else { return Ok(None) };
        watch_launcher(&worker)?;
        if worker.world_size == 1 {
            return Ok(None);
        }
        let start = Duration::from_secs(self.start_timeout);
        let limits = TimeLimits { start, answer: Duration::from_secs(self.process_timeout) };
        Ok(Some(World::join(worker, limits)?.backend(self.backend)))
    }
}

/// Ends this process with its launcher. A process that was started by hand may outlive its shell.
fn watch_launcher(worker: &WorkerEnv) -> Result<()> {
    match worker.run_id.is_empty() {
        true => Ok(()),
        false => Ok(watch_parent()?),
    }
}

/// This process's shard of independent images; the given one if this process is alone.
pub fn process_shard(given: Option<Shard>) -> Result<Option<Shard>> {
    let Some(worker) = WorkerEnv::from_env()?.filter(|worker| worker.world_size > 1) else {
        return Ok(given);
    };
    ensure!(
        given.is_none(),
        "--shard: several processes divide the images themselves; leave it out"
    );
    watch_launcher(&worker)?;
    Ok(Some(Shard::new(worker.rank, worker.world_size)))
}

/// True if the launcher has started this process again, after a failure.
pub fn is_restarted() -> Result<bool> {
    Ok(WorkerEnv::from_env()?.is_some_and(|worker| worker.restart_count > 0))
}

/// The device of this process: with several on a machine, each has a GPU of its own.
pub fn local_device(choice: DeviceChoice) -> Result<DeviceChoice> {
    let worker = WorkerEnv::from_env()?.filter(|worker| worker.world_size > 1);
    Ok(worker.map_or(choice, |worker| choice.for_local_rank(worker.local_rank)))
}
