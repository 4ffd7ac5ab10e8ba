//! Compatibility with facebookresearch/DiT and LTH14/JiT: their argument names.

use serde::Deserialize;

use super::DitConfig;
use crate::ConfigError;

/// The arguments of `DiT`, with their defaults.
///
/// ```
/// use inkdrop_unet::{DitArguments, DitConfig};
///
/// let arguments: DitArguments = serde_json::from_str("{}")?;
/// assert_eq!(arguments.config()?, DitConfig::xl2());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs)] // DiT's names; DitConfig explains them
pub struct DitArguments {
    pub input_size: i64,
    pub patch_size: i64,
    pub in_channels: i64,
    pub hidden_size: i64,
    pub depth: i64,
    pub num_heads: i64,
    pub mlp_ratio: f64,
    pub class_dropout_prob: f64,
    pub num_classes: i64,
    pub learn_sigma: bool,
}

impl Default for DitArguments {
    fn default() -> Self {
        Self {
            input_size: 32,
            patch_size: 2,
            in_channels: 4,
            hidden_size: 1152,
            depth: 28,
            num_heads: 16,
            mlp_ratio: 4.0,
            class_dropout_prob: 0.1,
            num_classes: 1000,
            learn_sigma: true,
        }
    }
}

impl DitArguments {
    /// The same network as a config. Without label dropout its table has no vector of the null class: give one class
    /// fewer, whose vector then takes that place.
    ///
    /// # Errors
    /// A network without label dropout.
    pub fn config(&self) -> Result<DitConfig, ConfigError> {
        if self.class_dropout_prob <= 0.0 {
            let problem = "has no null class: expected a number above 0";
            return Err(ConfigError::field("class_dropout_prob", self.class_dropout_prob, problem));
        }
        Ok(DitConfig {
            size: self.input_size,
            channels: self.in_channels,
            outputs: self.in_channels.saturating_mul(if self.learn_sigma { 2 } else { 1 }),
            classes: Some(self.num_classes),
            patch: self.patch_size,
            features: self.hidden_size,
            depth: self.depth,
            heads: self.num_heads,
            mlp_ratio: self.mlp_ratio,
            ..DitConfig::xl2()
        })
    }
}

/// The arguments of `JiT`, with their defaults.
///
/// ```
/// use inkdrop_unet::{DitConfig, JitArguments};
///
/// let arguments: JitArguments = serde_json::from_str("{}")?;
/// assert_eq!(arguments.config(), DitConfig::jit256([1024, 24, 16, 128]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs)] // JiT's names; DitConfig explains them
pub struct JitArguments {
    pub input_size: i64,
    pub patch_size: i64,
    pub in_channels: i64,
    pub hidden_size: i64,
    pub depth: i64,
    pub num_heads: i64,
    pub mlp_ratio: f64,
    pub num_classes: i64,
    pub bottleneck_dim: i64,
    pub in_context_len: i64,
    pub in_context_start: i64,
}

impl Default for JitArguments {
    fn default() -> Self {
        Self {
            input_size: 256,
            patch_size: 16,
            in_channels: 3,
            hidden_size: 1024,
            depth: 24,
            num_heads: 16,
            mlp_ratio: 4.0,
            num_classes: 1000,
            bottleneck_dim: 128,
            in_context_len: 32,
            in_context_start: 8,
        }
    }
}

impl JitArguments {
    /// The same network as a config. Dropout of attention and MLP, which the published networks of JiT-B and JiT-L do
    /// not use, has no counterpart.
    pub fn config(&self) -> DitConfig {
        DitConfig {
            size: self.input_size,
            channels: self.in_channels,
            outputs: self.in_channels,
            classes: Some(self.num_classes),
            patch: self.patch_size,
            mlp_ratio: self.mlp_ratio,
            bottleneck: Some(self.bottleneck_dim),
            in_context_len: self.in_context_len,
            in_context_start: self.in_context_start,
            ..DitConfig::jit256([self.hidden_size, self.depth, self.num_heads, 0])
        }
    }
}
