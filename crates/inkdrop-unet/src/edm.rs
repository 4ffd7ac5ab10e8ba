//! EDM's U-Nets (Karras et al. 2022): SongUNet (DDPM++, NCSN++) and DhariwalUNet (ADM).

mod compat;
mod config;
mod detect;
mod embedding;
mod network;
mod spec;

pub use compat::EdmArguments;
pub use config::{
    EdmArchitecture, EdmConfig, EdmDecoder, EdmEncoder, EdmTimeEmbedding, SongConfig,
};
pub use network::{CompiledEdmUnet, EdmUnet};
