//! Layers and named parameters for diffusion networks, on libtorch.
//!
//! Parameters have the names of the published PyTorch networks (improved-diffusion,
//! nanodiffusion, the sprites notebook, diffusers) and PyTorch's default initialisation,
//! in the same order: after the same `manual_seed`, a network built here equals the
//! PyTorch network bit for bit.
//!
//! Each layer stands alone: give it a [`Scope`], in which it adds its parameters.
//!
//! | layer | of which network |
//! |---|---|
//! | [`ResBlock`], [`SelfAttention`], [`Downsample`], [`Upsample`], [`EmbedSequential`], [`Checkpointed`] | nanodiffusion, improved- and guided-diffusion, diffusers |
//! | [`ResidualConvBlock`], [`UnetDown`], [`UnetUp`], [`EmbedFc`] | the sprites notebook |
//! | [`timestep_embedding`], [`positional_embedding`], [`diffusers_embedding`], [`Mlp`], [`Embedding`] | timesteps and classes |
//! | [`Conv`], [`ConvTranspose2d`], [`Linear`], [`Norm`] and its kinds, [`Activation`] | all |
//!
//! A [`TrainableNetwork`] is compiled into a [`Network`] for inference
//! ([`TrainableNetwork::compile`]): [`CompileOptions`], [`FusedProjection`], [`EmbeddingCache`],
//! [`CudaGraphNetwork`], and the compiled layers. Blocks are generic over the [`Form`] of their
//! layers: [`Trained`] (the default) or [`Compiled`].
//!
//! ```
//! use inkdrop_nn::{Conv, ConvConfig, Params};
//! use inkdrop_torch::tch::{Device, Kind, Tensor};
//!
//! let mut params = Params::new(Kind::Float, Device::Cpu);
//! let conv = Conv::new(&mut params.root().sub("conv"), ConvConfig::same(3, 8, 3))?;
//! let y = conv.forward(&Tensor::randn([2, 3, 16, 16], (Kind::Float, Device::Cpu)))?;
//! assert_eq!(y.size(), [2, 8, 16, 16]);
//! assert_eq!(params.names().collect::<Vec<_>>(), ["conv.weight", "conv.bias"]);
//! # Ok::<(), inkdrop_torch::TorchError>(())
//! ```

mod activation;
mod attention;
mod checkpointed;
mod compiled;
mod context;
mod conv;
mod cuda_graph;
mod embedding;
mod fn_network;
mod linear;
mod modulation;
mod network;
mod norm;
mod params;
mod resample;
mod residual;
mod sequential;

pub use activation::Activation;
pub use attention::{
    AttentionConfig, AttentionKeys, HeadOrder, Projection, SelfAttention, attend, attend_explicitly,
};
pub use checkpointed::Checkpointed;
pub use compiled::{
    CompileOptions, Compiled, CompiledConv, CompiledConvTranspose2d, CompiledConvUnit,
    CompiledNorm, CompiledSelfAttention, Convolution, Form, Normalization, Trained,
    TransposedConvolution, Unit,
};
pub use context::{ConvUnit, ResidualConvBlock, UnetDown, UnetUp};
pub use conv::{Conv, ConvConfig, ConvTranspose2d};
pub use cuda_graph::CudaGraphNetwork;
pub use embedding::{EmbedFc, diffusers_embedding, positional_embedding, timestep_embedding};
pub use fn_network::{FnNetwork, TrainableFnNetwork};
pub use linear::{Embedding, Linear, Mlp};
pub use modulation::{
    BlockConditioning, EmbeddingCache, EmbeddingCacheKey, FusedProjection, FusedProjectionBuilder,
    Modulation,
};
pub use network::{ClassIds, Conditioning, Mode, Network, NetworkError, TrainableNetwork};
pub use norm::{BatchNorm, GroupNorm, InstanceNorm, Norm, NormConfig, NormKind};
pub use params::{Init, Param, Params, Role, Scope, Weight};
pub use resample::{Downsample, ResampleConfig, Upsample, double, halve};
pub use residual::{ResBlock, ResBlockConfig, ResBlockKeys, Resample};
pub use sequential::{Block, EmbedSequential, LayerConfig};
