//! The sprites notebook's ContextUnet: a two-level U-Net steered by a context vector.

mod compat;
mod config;
mod network;
mod plan;

pub use compat::ContextArguments;
pub use config::ContextConfig;
pub use network::{CompiledContextUnet, ContextUnet};
