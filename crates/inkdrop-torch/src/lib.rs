//! The one door to libtorch: which device, where noise comes from, gradient checkpointing, CUDA
//! graphs, and kernels of our own for the CPU.
//!
//! The layers above use [`tch`] tensors freely; what lives here is what needs
//! care or `unsafe`: finding and loading CUDA at run time, errors that a person
//! can read, noise that does not depend on batch size or device, and blocks that
//! run again in the backward pass instead of keeping their activations, passes that
//! a GPU replays by itself, and what a CPU does in one go ([`PackedConv`],
//! [`group_norm`], [`adamw`]).
//!
//! ```
//! use inkdrop_torch::{DeviceChoice, NoiseSource, PerImageNoise};
//!
//! let device = DeviceChoice::Cpu.resolve()?;
//! let mut noise = PerImageNoise::new(7, 0..4);
//! let x = noise.normal(&[4, 3, 16, 16], device)?;
//! assert_eq!(x.size(), [4, 3, 16, 16]);
//!
//! // Image 3 of seed 7 is the same alone as in a batch.
//! let alone = PerImageNoise::new(7, 3..4).normal(&[1, 3, 16, 16], device)?;
//! assert_eq!(x.get(3), alone.get(0));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod checkpoint;
mod device;
mod error;
mod ffi;
mod fused;
mod gpu;
mod graph;
mod noise;
mod optimiser;
mod packed;
mod settings;

pub use checkpoint::{Pass, checkpoint};
pub use device::{DeviceChoice, DeviceError};
pub use error::{Result, TorchError};
pub use fused::{GroupNormInputs, PostOp, group_norm, takes_group_norm};
pub use gpu::{GpuMemory, gpu_memory, reset_peak, torch_config};
pub use graph::{CudaGraph, cuda_graphs, grad_enabled};
pub use noise::{NoiseSource, NoiseTape, PerImageNoise, TorchNoise};
pub use optimiser::{AdamNumbers, AdamTensors, adamw, lerp_all, norm_of_all, scale_all};
pub use packed::{PackedConv, winograd_conv};
pub use settings::{allow_tf32, keep_freed_memory};
pub use tch;
