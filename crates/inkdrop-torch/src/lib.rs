//! The interface to libtorch: devices, noise sources, gradient checkpointing, CUDA graphs, and fused
//! kernels for the CPU.
//!
//! The crates above use [`tch`] tensors freely. This crate has everything that needs `unsafe` or C++:
//! loading CUDA at run time, readable errors, noise that does not depend on batch size or device,
//! gradient checkpointing ([`checkpoint`]), CUDA graphs ([`CudaGraph`]), and fused CPU kernels
//! ([`PackedConv`], [`group_norm`], [`adamw`]).
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
