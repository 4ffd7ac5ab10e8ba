//! lucidrains' U-Nets (denoising-diffusion-pytorch 2.3): linear attention at the fine stages, full
//! attention at the coarsest, RMS normalisation after each convolution.

mod compat;
mod config;
mod detect;
mod spec;

pub use compat::LucidArguments;
pub use config::LucidConfig;
