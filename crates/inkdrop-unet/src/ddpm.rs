//! nanodiffusion's U-Net, after Ho et al. 2020.

mod compat;
mod config;
mod detect;
mod layout;
mod network;

pub use compat::DdpmArguments;
pub use config::DdpmConfig;
pub use network::DdpmUnet;
