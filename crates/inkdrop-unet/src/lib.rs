#![doc = include_str!("../README.md")]

mod compat;
mod config;
mod context;
mod ddpm;
mod detect;
mod dit;
mod edm;
mod edm2;
mod error;
mod improved;
mod inputs;
mod lucid;
mod plan;
mod presets;
mod size;
mod spec;
mod unet;
mod unet2d;

pub use compat::ArgumentsError;
pub use config::ModelConfig;
pub use context::{CompiledContextUnet, ContextArguments, ContextConfig, ContextUnet};
pub use ddpm::{DdpmArguments, DdpmConfig};
pub use detect::{DetectError, DetectedArchitecture, FAMILIES, Shapes, UndeterminedField};
pub use dit::{CompiledDit, Dit, DitArguments, DitConfig, JitArguments};
pub use edm::{
    CompiledEdmUnet, EdmArchitecture, EdmArguments, EdmConfig, EdmDecoder, EdmEncoder,
    EdmTimeEmbedding, EdmUnet, SongConfig,
};
pub use edm2::{CompiledEdm2Unet, Edm2Arguments, Edm2Config, Edm2Unet};
pub use error::{BuildError, ConfigError};
pub use improved::{AttentionOrder, ImprovedArguments, ImprovedConfig, ImprovedFlags};
pub use lucid::{LucidArguments, LucidConfig};
pub use plan::{Memory, Plan, Stage};
pub use presets::Preset;
pub use size::ImageSize;
pub use unet::{CompiledUnet, Features, Unet};
pub use unet2d::{ClassEmbedding, Unet2dArguments, Unet2dConfig, Unrepresentable};
