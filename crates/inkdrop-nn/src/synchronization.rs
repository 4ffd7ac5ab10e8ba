//! Batch statistics over several processes: synchronised batch normalisation.

use std::fmt;
use std::sync::{Arc, OnceLock};

use inkdrop_torch::Result;
use inkdrop_torch::tch::Tensor;

/// Sums a tensor over the processes that train a network together, with its gradient.
pub trait SumOverProcesses: Send + Sync {
    /// The sum of x over all processes. The gradient of x is the sum of the sum's gradients over all
    /// processes.
    ///
    /// # Errors
    /// A process ended.
    fn sum(&self, x: &Tensor) -> Result<Tensor>;
}

/// The processes whose statistics all batch normalisations of a network share; none at first.
#[derive(Clone, Default)]
pub(crate) struct Synchronization(Arc<OnceLock<Box<dyn SumOverProcesses>>>);

impl Synchronization {
    /// Sets the processes, once; later calls change nothing.
    pub(crate) fn set(&self, processes: Box<dyn SumOverProcesses>) {
        let _ = self.0.set(processes);
    }

    pub(crate) fn get(&self) -> Option<&dyn SumOverProcesses> {
        self.0.get().map(Box::as_ref)
    }
}

impl fmt::Debug for Synchronization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = if self.get().is_some() { "several processes" } else { "one process" };
        f.write_str(state)
    }
}
