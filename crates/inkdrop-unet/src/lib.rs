//! The U-Nets of the classic diffusion systems: config → plan → network.
//!
//! A config is checked and counted without a tensor; building only walks the plan.
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

mod config;
mod context;
mod plan;

pub use config::{BuildError, ConfigError, ModelConfig};
pub use context::{ContextConfig, ContextUnet};
pub use plan::{Plan, Stage};
