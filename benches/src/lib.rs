//! Shared setup of the benchmarks: the sprites network and its inputs.
//!
//! ```
//! let network = inkdrop_benches::network();
//! assert_eq!(network.params().trained_count(), 1_481_027);
//! ```

use inkdrop_nn::FnNetwork;
use inkdrop_nn::{Network, TrainableNetwork};
use inkdrop_process::{Process, ProcessConfig};
use inkdrop_torch::tch::{Device, Kind, Tensor};
use inkdrop_unet::{ContextConfig, ModelConfig};

/// The sprites network with random weights, on the CPU.
///
/// # Panics
/// libtorch cannot allocate it.
pub fn network() -> Box<dyn TrainableNetwork> {
    let config = ModelConfig::Context(ContextConfig::sprites());
    config.build(Kind::Float, Device::Cpu).expect("the sprites network builds")
}

/// The sprites process, on the CPU.
///
/// # Panics
/// libtorch cannot allocate its tables.
pub fn process() -> Process {
    Process::new(&ProcessConfig::sprites(), Device::Cpu).expect("the sprites process is valid")
}

/// Noise, times and contexts for a batch: [B, 3, 16, 16], `[B]`, [B, 5].
pub fn inputs(batch: i64) -> (Tensor, Tensor, Tensor) {
    let f32 = (Kind::Float, Device::Cpu);
    let classes = Tensor::arange(batch, (Kind::Int64, Device::Cpu)).remainder(5);
    let context = classes.one_hot(5).to_kind(Kind::Float);
    (Tensor::randn([batch, 3, 16, 16], f32), Tensor::rand([batch], f32), context)
}

/// A network that returns x without a copy, to measure the cost of samplers alone.
pub fn idle() -> impl Network {
    FnNetwork::new(|x, _, _| Ok(x.shallow_clone()))
}
