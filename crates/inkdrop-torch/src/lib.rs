#![doc = include_str!("../README.md")]

mod brownian;
mod bytes;
mod checkpoint;
mod cpu;
mod device;
#[cfg(feature = "distributed")]
pub mod distributed;
mod dropout;
mod error;
mod ffi;
mod forward_ad;
mod generator;
mod gpu;
mod graph;
mod kernels;
mod layout;
mod noise;
mod norm;
mod optimiser;
mod packed;
mod self_check;
mod settings;
mod winograd;

pub use brownian::BrownianTreeNoise;
pub use bytes::tensor_of_bytes;
pub use checkpoint::{Pass, checkpoint};
pub use cpu::{Isa, isa, multiplies_bf16, own_kernels};
pub use device::{DeviceChoice, DeviceError};
pub use dropout::{draw_dropout_key, dropout};
pub use error::{Result, TorchError};
pub use forward_ad::{DualInput, in_jvp, jvp};
pub use generator::{DefaultGenerator, split_mix_64};
pub use gpu::{GpuMemory, gpu_memory, reset_peak, to_device_async, torch_config};
pub use graph::{CudaGraph, cuda_graphs, grad_enabled};
pub use kernels::{BatchNormOutputs, GroupNormInputs, PostOp};
pub use layout::{channels_last, is_channels_last};
pub use noise::{NoiseSource, NoiseTape, PerImageNoise, TorchNoise};
pub use norm::{batch_norm, group_norm, rms_norm, takes_fused_norm};
pub use optimiser::{
    AdamNumbers, AdamTensors, adamw, free_gradients, lerp_all, norm_of_all, scale_all,
};
pub use packed::PackedConv;
pub use settings::{allow_tf32, exit_process, give_back_freed_memory, keep_freed_memory};
pub use tch;
pub use winograd::winograd_conv;
