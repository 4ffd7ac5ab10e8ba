//! DiT, the diffusion transformer (Peebles & Xie 2023), on pixels or latents.

mod block;
mod compat;
mod config;
mod detect;
mod network;
mod plan;
mod tokens;

pub use compat::{DitArguments, JitArguments};
pub use config::DitConfig;
pub use network::{CompiledDit, Dit};
