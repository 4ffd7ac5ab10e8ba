//! diffusers' UNet2DModel: the layout in which most published pixel-space checkpoints are.

mod config;
mod layout;
mod network;
mod original;
mod recognise;

pub use config::{ClassEmbedding, Unet2dConfig};
pub use network::Unet2d;
pub use original::{Unet2dArguments, Unrepresentable};
