//! The sprites notebook's ContextUnet: a two-level U-Net steered by a context vector.

mod config;
mod network;
mod original;
mod sketch;

pub use config::ContextConfig;
pub use network::ContextUnet;
pub use original::ContextArguments;
