//! A network whose passes a GPU replays from recordings, where that can be.

mod cache;
mod inputs;
#[cfg(test)]
mod tests;

use inkdrop_torch::tch::{Device, Tensor};
use inkdrop_torch::{CudaGraph, Result, cuda_graphs};

use crate::{Conditioning, Mode, Network, NetworkError, Params};
use cache::{Cache, Recorder};
use inputs::Inputs;

/// A network that records its passes on a GPU and replays them: the same numbers, without the
/// time that a CPU takes to start hundreds of small kernels.
///
/// A pass is recorded when inputs of the same shapes and kinds come for the second time, and
/// replayed from the third on; four recordings are kept, each with the memory of one pass. A
/// replay copies the inputs to where the recording reads them, and returns a copy of what it
/// wrote. Everything else is an ordinary pass: training, passes that record gradients, the CPU,
/// inputs on several devices, further shapes, and all where graphs are not to be had.
///
/// Errors are those of the network: shapes that it refuses are never recorded, and classes are
/// looked at before a replay. A range of ids that no ordinary pass has accepted yet gets one.
/// So the network may refuse numbers for classes out of range only, as [`ClassIds::check`] does.
///
/// What acts on each pass (a counter, a way to stop) must stand around this network, not within.
/// Weights may change in place but not be replaced; flags like
/// [`allow_tf32`](inkdrop_torch::allow_tf32) stay as they were when a pass was recorded.
///
/// [`ClassIds::check`]: crate::ClassIds::check
pub struct CudaGraphNetwork(Cache<Gpu>);

impl CudaGraphNetwork {
    /// Wraps a network; records nothing yet.
    pub fn new(network: Box<dyn Network>) -> Self {
        Self(Cache::new(network, Gpu))
    }

    /// How many passes are recorded.
    pub fn recorded(&self) -> usize {
        self.0.recorded()
    }

    /// Why nothing more is recorded, if a recording failed.
    pub fn trouble(&self) -> Option<String> {
        self.0.trouble()
    }
}

impl Network for CudaGraphNetwork {
    fn forward(
        &self,
        x: &Tensor,
        t: &Tensor,
        conditioning: &Conditioning,
        mode: Mode,
    ) -> std::result::Result<Tensor, NetworkError> {
        self.0.forward(x, t, conditioning, mode)
    }

    fn params(&self) -> &Params {
        self.0.network().params()
    }
}

/// Records with CUDA graphs.
struct Gpu;

impl Recorder for Gpu {
    type Graph = CudaGraph;

    fn records(&self, device: Device) -> bool {
        device.is_cuda() && cuda_graphs().is_ok()
    }

    fn record(&self, inputs: &Inputs, pass: &mut dyn FnMut() -> Result<()>) -> Result<CudaGraph> {
        CudaGraph::capture(inputs.device(), pass)
    }

    fn replay(&self, graph: &CudaGraph, _: &Inputs, _: &Tensor) -> Result<()> {
        graph.replay()
    }
}
