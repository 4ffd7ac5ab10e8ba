//! improved-diffusion's U-Net (Nichol & Dhariwal 2021), with its super-resolution form and
//! guided-diffusion's options (Dhariwal & Nichol 2021).

mod compat;
mod config;
mod detect;
mod flags;
mod spec;

pub use compat::ImprovedArguments;
pub use config::{AttentionOrder, ImprovedConfig};
pub use flags::ImprovedFlags;
