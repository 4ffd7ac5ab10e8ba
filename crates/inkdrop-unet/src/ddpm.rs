//! nanodiffusion's U-Net, after Ho et al. 2020.

mod compat;
mod config;
mod detect;
mod spec;

pub use compat::DdpmArguments;
pub use config::DdpmConfig;
