//! diffusers' UNet2DModel: the layout in which most published pixel-space checkpoints are.

mod compat;
mod config;
mod detect;
mod spec;

pub use compat::{Unet2dArguments, Unrepresentable};
pub use config::{ClassEmbedding, Unet2dConfig};
