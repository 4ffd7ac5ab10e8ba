//! Compatibility with nanodiffusion: its argument names.

use inkdrop_nn::{Activation, NormKind};
use serde::Deserialize;

use super::DdpmConfig;
use crate::{ConfigError, ImageSize};

/// The arguments of nanodiffusion's `UNet`, with its defaults.
///
/// ```
/// use inkdrop_unet::{DdpmArguments, DdpmConfig, ImageSize};
///
/// let arguments = DdpmArguments {
///     img_channels: 3,
///     base_channels: 128,
///     channel_mults: vec![1, 2, 2, 2],
///     time_emb_dim: Some(512),
///     attention_resolutions: vec![1],
///     activation: "silu".to_string(),
///     ..DdpmArguments::default()
/// };
/// assert_eq!(arguments.config(ImageSize::square(32))?, DdpmConfig::cifar10());
/// # Ok::<(), inkdrop_unet::ConfigError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs)] // the published names; DdpmConfig explains them
pub struct DdpmArguments {
    pub img_channels: i64,
    pub base_channels: i64,
    pub channel_mults: Vec<i64>,
    pub num_res_blocks: i64,
    pub time_emb_dim: Option<i64>,
    pub time_emb_scale: f64,
    pub num_classes: Option<i64>,
    /// `relu`, `silu` or `mish`.
    pub activation: String,
    pub dropout: f64,
    /// Indices of levels, not resolutions.
    pub attention_resolutions: Vec<i64>,
    /// `gn`, `bn`, `in` or `none`; null is none.
    pub norm: Option<String>,
    pub num_groups: i64,
    pub initial_pad: i64,
}

impl Default for DdpmArguments {
    fn default() -> Self {
        Self {
            img_channels: 3,
            base_channels: 128,
            channel_mults: vec![1, 2, 4, 8],
            num_res_blocks: 2,
            time_emb_dim: None,
            time_emb_scale: 1.0,
            num_classes: None,
            activation: "relu".to_string(),
            dropout: 0.1,
            attention_resolutions: Vec::new(),
            norm: Some("gn".to_string()),
            num_groups: 32,
            initial_pad: 0,
        }
    }
}

impl DdpmArguments {
    /// The same network as a config.
    ///
    /// - size: image size, which nanodiffusion's constructor does not take
    ///
    /// # Errors
    /// An activation or a norm that nanodiffusion does not have.
    pub fn config(&self, size: ImageSize) -> Result<DdpmConfig, ConfigError> {
        Ok(DdpmConfig {
            size,
            channels: self.img_channels,
            features: self.base_channels,
            multipliers: self.channel_mults.clone(),
            blocks: self.num_res_blocks,
            time_features: self.time_emb_dim,
            time_scale: self.time_emb_scale,
            interval: false,
            classes: self.num_classes,
            activation: activation(&self.activation)?,
            dropout: self.dropout,
            attention: self.attended(),
            norm: norm(self.norm.as_deref().unwrap_or("none"))?,
            groups: self.num_groups,
            padding: self.initial_pad,
            checkpoint: false,
        })
    }
}

impl DdpmArguments {
    /// Levels with attention; numbers of no level attend nowhere, as in nanodiffusion.
    fn attended(&self) -> Vec<i64> {
        let levels = self.channel_mults.len() as i64;
        let attended = self.attention_resolutions.iter().copied();
        attended.filter(|level| (0..levels).contains(level)).collect()
    }
}

fn activation(name: &str) -> Result<Activation, ConfigError> {
    match name {
        "relu" => Ok(Activation::Relu),
        "silu" | "swish" => Ok(Activation::Silu),
        "mish" => Ok(Activation::Mish),
        _ => Err(ConfigError::field("activation", name, "is unknown: expected relu, silu or mish")),
    }
}

fn norm(name: &str) -> Result<NormKind, ConfigError> {
    match name {
        "gn" => Ok(NormKind::Group),
        "bn" => Ok(NormKind::Batch),
        "in" => Ok(NormKind::Instance),
        "none" => Ok(NormKind::None),
        _ => Err(ConfigError::field("norm", name, "is unknown: expected gn, bn, in or none")),
    }
}
