//! The U-Nets of the classic diffusion systems: config → plan → network.
//!
//! A config is checked and counted without a tensor; building only walks the layout.
//!
//! | family | network | config | from the original's names |
//! |---|---|---|---|
//! | `context` | [`ContextUnet`] | [`ContextConfig`] | [`ContextArguments`] |
//! | `ddpm` | [`DdpmUnet`] | [`DdpmConfig`] | [`DdpmArguments`] |
//! | `improved`, `improved-super-res` | [`ImprovedUnet`] | [`ImprovedConfig`] | [`ImprovedArguments`], [`ImprovedFlags`] |
//! | `unet2d` | [`Unet2d`] | [`Unet2dConfig`] | [`Unet2dArguments`] |
//!
//! [`Preset`] has the networks of the papers and published checkpoints by name;
//! [`ModelConfig::detect`] finds the network that keys and shapes belong to.
//!
//! ```
//! use inkdrop_nn::{Conditioning, Mode};
//! use inkdrop_torch::tch::{Device, Kind, Tensor};
//! use inkdrop_unet::{ContextConfig, ModelConfig};
//!
//! let config = ModelConfig::Context(ContextConfig { features: 16, ..ContextConfig::sprites() });
//! assert!(config.plan()?.parameters() < 200_000);
//!
//! let network = config.build(Kind::Float, Device::Cpu)?;
//! let x = Tensor::randn([2, 3, 16, 16], (Kind::Float, Device::Cpu));
//! let t = Tensor::from_slice(&[0.5f32, 1.0]);
//! let eps = network.forward(&x, &t, &Conditioning::none(), Mode::Eval)?;
//! assert_eq!(eps.size(), [2, 3, 16, 16]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod backbone;
mod compat;
mod config;
mod context;
mod ddpm;
mod detect;
mod error;
mod improved;
mod plan;
mod presets;
mod size;
mod unet2d;

pub use backbone::Features;
pub use compat::ArgumentsError;
pub use config::ModelConfig;
pub use context::{ContextArguments, ContextConfig, ContextUnet};
pub use ddpm::{DdpmArguments, DdpmConfig, DdpmUnet};
pub use detect::{DetectError, DetectedArchitecture, Shapes, UndeterminedField};
pub use error::{BuildError, ConfigError};
pub use improved::{
    AttentionOrder, ImprovedArguments, ImprovedConfig, ImprovedFlags, ImprovedUnet,
};
pub use plan::{Memory, Plan, Stage};
pub use presets::Preset;
pub use size::ImageSize;
pub use unet2d::{ClassEmbedding, Unet2d, Unet2dArguments, Unet2dConfig, Unrepresentable};
