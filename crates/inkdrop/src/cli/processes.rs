//! The processes of a command that computes one result together.

use anyhow::Result;
use indicatif::ProgressBar;
use inkdrop::dist::World;
use inkdrop::torch::tch::Tensor;

use crate::options::ProcessesArgs;
use crate::progress;

/// The processes that share a computation; a process alone has no others, and waits for nobody.
pub struct Processes {
    world: Option<World>,
}

impl Processes {
    /// Joins the other processes and runs a function, whose error the others quote.
    pub fn run<T>(args: &ProcessesArgs, run: impl FnOnce(&Self) -> Result<T>) -> Result<T> {
        let processes = Self { world: args.join()? };
        let result = run(&processes);
        if let (Some(world), Err(error)) = (&processes.world, &result) {
            world.failure_report().send(&crate::message(error));
        }
        result
    }

    /// Number of this process, from 0.
    pub fn rank(&self) -> usize {
        self.world.as_ref().map_or(0, World::rank)
    }

    /// Number of processes.
    pub fn count(&self) -> usize {
        self.world.as_ref().map_or(1, World::world_size)
    }

    /// True in the process that prints the result.
    pub fn is_main(&self) -> bool {
        self.rank() == 0
    }

    /// A progress bar, hidden in all processes but the first.
    pub fn bar(&self, total: usize, unit: &str) -> ProgressBar {
        if self.is_main() { progress::bar(total, unit) } else { ProgressBar::hidden() }
    }

    /// Checks that all processes compute the same.
    ///
    /// - facts: what the result depends on, each with its name
    pub fn agree(&self, facts: &[(&'static str, String)]) -> Result<()> {
        match &self.world {
            Some(world) => Ok(world.agree(facts)?),
            None => Ok(()),
        }
    }

    /// The tensors of all processes, in the order of their ranks; all have one shape.
    pub fn gather(&self, own: &Tensor) -> Result<Vec<Tensor>> {
        match &self.world {
            Some(world) => Ok(world.all_gather(own)?),
            None => Ok(vec![own.shallow_clone()]),
        }
    }
}
