//! EDM2's magnitude-preserving U-Net (Karras et al. 2024), with its preconditioning's uncertainty head.

mod block;
mod compat;
mod config;
mod detect;
mod network;
mod spec;

pub use compat::Edm2Arguments;
pub use config::Edm2Config;
pub use network::{CompiledEdm2Unet, Edm2Unet};
