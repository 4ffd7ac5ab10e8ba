//! nanodiffusion's U-Net, after Ho et al. 2020.

mod config;
mod layout;
mod network;
mod original;
mod recognise;

pub use config::DdpmConfig;
pub use network::DdpmUnet;
pub use original::DdpmArguments;
