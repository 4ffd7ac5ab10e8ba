//! Layers and named parameters for diffusion networks, on libtorch.
//!
//! Parameters have the names of the PyTorch originals and start from PyTorch's
//! default initialisation, in PyTorch's order: after the same
//! `manual_seed`, a network built here equals the original bit for bit.
//!
//! ```
//! use inkdrop_nn::{Conv2d, ConvConfig, Params};
//! use inkdrop_torch::tch::{Device, Kind, Tensor};
//!
//! let mut params = Params::new(Kind::Float, Device::Cpu);
//! let conv = Conv2d::new(&mut params.root().sub("conv"), ConvConfig::same(3, 8, 3))?;
//! let y = conv.forward(&Tensor::randn([2, 3, 16, 16], (Kind::Float, Device::Cpu)))?;
//! assert_eq!(y.size(), [2, 8, 16, 16]);
//! assert_eq!(params.names().collect::<Vec<_>>(), ["conv.weight", "conv.bias"]);
//! # Ok::<(), inkdrop_torch::TorchError>(())
//! ```

mod context;
mod conv;
mod embedding;
mod linear;
mod network;
mod norm;
mod params;

pub use context::{ResidualConvBlock, UnetDown, UnetUp};
pub use conv::{Conv2d, ConvConfig, ConvTranspose2d};
pub use embedding::{EmbedFc, positional_embedding, timestep_embedding};
pub use linear::Linear;
pub use network::{Conditioning, Mode, Network, NetworkError};
pub use norm::{BatchNorm2d, GroupNorm};
pub use params::{Init, Param, Params, Role, Scope};
