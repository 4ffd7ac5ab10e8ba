//! The U-Nets of the classic diffusion systems: config → specification → network.
//!
//! A config is checked and its cost is estimated without a tensor; building follows the
//! specification. The network of Ho et al. 2020 and its descendants is one type, [`Unet`].
//!
//! | family | network | config | from published argument names |
//! |---|---|---|---|
//! | `context` | [`ContextUnet`] | [`ContextConfig`] | [`ContextArguments`] |
//! | `ddpm` | [`Unet`] | [`DdpmConfig`] | [`DdpmArguments`] |
//! | `improved`, `improved-super-res` | [`Unet`] | [`ImprovedConfig`] | [`ImprovedArguments`], [`ImprovedFlags`] |
//! | `unet2d` | [`Unet`] | [`Unet2dConfig`] | [`Unet2dArguments`] |
//!
//! [`Preset`] has the networks of the papers and published checkpoints by name.
//! [`ModelConfig::detect`] finds the architecture of a state_dict.
//!
//! ```
//! use inkdrop_nn::Conditioning;
//! use inkdrop_torch::tch::{Device, Kind, Tensor};
//! use inkdrop_unet::{ContextConfig, ModelConfig};
//!
//! let config = ModelConfig::Context(ContextConfig { features: 16, ..ContextConfig::sprites() });
//! assert!(config.plan()?.parameters() < 200_000);
//!
//! let network = config.build(Kind::Float, Device::Cpu)?;
//! let x = Tensor::randn([2, 3, 16, 16], (Kind::Float, Device::Cpu));
//! let t = Tensor::from_slice(&[0.5f32, 1.0]);
//! let eps = network.forward(&x, &t, &Conditioning::none())?;
//! assert_eq!(eps.size(), [2, 3, 16, 16]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod compat;
mod config;
mod context;
mod ddpm;
mod detect;
mod error;
mod improved;
mod inputs;
mod plan;
mod presets;
mod size;
mod spec;
mod unet;
mod unet2d;

pub use compat::ArgumentsError;
pub use config::ModelConfig;
pub use context::{CompiledContextUnet, ContextArguments, ContextConfig, ContextUnet};
pub use ddpm::{DdpmArguments, DdpmConfig};
pub use detect::{DetectError, DetectedArchitecture, Shapes, UndeterminedField};
pub use error::{BuildError, ConfigError};
pub use improved::{AttentionOrder, ImprovedArguments, ImprovedConfig, ImprovedFlags};
pub use plan::{Memory, Plan, Stage};
pub use presets::Preset;
pub use size::ImageSize;
pub use unet::{CompiledUnet, Features, Unet};
pub use unet2d::{ClassEmbedding, Unet2dArguments, Unet2dConfig, Unrepresentable};
