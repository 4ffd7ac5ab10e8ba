#![doc = include_str!("../README.md")]

mod activation;
mod attention;
mod checkpointed;
mod compiled;
mod context;
mod conv;
mod cuda_graph;
mod embedding;
mod fn_network;
mod image_conditioned;
mod linear;
mod magnitude;
mod memory_attention;
mod modulation;
mod network;
mod norm;
mod params;
mod resample;
mod residual;
mod rms_norm;
mod rotary;
mod sequential;
mod synchronization;
mod token_norm;

pub use activation::Activation;
pub use attention::{
    AttentionConfig, AttentionKeys, HeadOrder, Projection, SelfAttention, attend, attend_explicitly,
};
pub use checkpointed::Checkpointed;
pub use compiled::{
    CompileOptions, Compiled, CompiledConv, CompiledConvTranspose2d, CompiledConvUnit,
    CompiledNorm, CompiledSelfAttention, Convolution, Form, Normalization, Trained,
    TransposedConvolution, Unit, compiled_activations,
};
pub use context::{ConvUnit, ResidualConvBlock, UnetDown, UnetUp};
pub use conv::{Conv, ConvConfig, ConvTranspose2d};
pub use cuda_graph::CudaGraphNetwork;
pub use embedding::{
    EmbedFc, diffusers_embedding, fourier_embedding, lucid_embedding, position_embedding_2d,
    positional_embedding, timestep_embedding,
};
pub use fn_network::{FnNetwork, TrainableFnNetwork};
pub use image_conditioned::ImageConditioned;
pub use linear::{CompiledLinear, Embedding, Linear, Mlp};
pub use magnitude::{MpConv, MpFourier, mp_cat, mp_silu, mp_sum, pixel_norm};
pub use memory_attention::{MemoryAttention, MemoryAttentionConfig, MemoryAttentionKeys};
pub use modulation::{
    BlockConditioning, EmbeddingCache, EmbeddingCacheKey, FusedProjection, FusedProjectionBuilder,
    Modulation,
};
pub use network::{ClassIds, Conditioning, Mode, Network, NetworkError, TrainableNetwork};
pub use norm::{BatchNorm, GroupNorm, InstanceNorm, Norm, NormConfig, NormKind};
pub use params::{Init, Param, Params, Role, Scope, Weight};
pub use resample::{
    Downsample, FilterTaps, Resample, ResampleConfig, Resampling, Upsample, double, halve,
};
pub use residual::{ResBlock, ResBlockConfig, ResBlockKeys};
pub use rms_norm::RmsNorm;
pub use rotary::RotaryEmbedding;
pub use sequential::{Block, EmbedSequential, LayerConfig};
pub use synchronization::SumOverProcesses;
pub use token_norm::TokenNorm;
