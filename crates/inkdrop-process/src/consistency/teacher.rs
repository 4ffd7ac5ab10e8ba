//! The teacher of a distillation.

use inkdrop_nn::{Conditioning, Network};
use inkdrop_torch::tch::{Tensor, no_grad_guard};

use crate::{ContinuousProcess, ProcessError};

/// A trained network and its process, whose probability flow a student learns.
pub struct Teacher {
    network: Box<dyn Network>,
    process: ContinuousProcess,
}

impl Teacher {
    /// A teacher; best with a compiled network.
    pub fn new(network: Box<dyn Network>, process: ContinuousProcess) -> Self {
        Self { network, process }
    }

    /// D(x; σ), without gradient.
    pub(super) fn denoise(
        &self,
        x: &Tensor,
        sigmas: &[f64],
        conditioning: &Conditioning,
    ) -> Result<Tensor, ProcessError> {
        let _guard = no_grad_guard();
        self.process.denoise(self.network.as_ref(), x, sigmas, conditioning)
    }
}

impl std::fmt::Debug for Teacher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Teacher").field("process", &self.process).finish_non_exhaustive()
    }
}
