//! Compatibility with facebookresearch/DiT: its argument names.

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
            checkpoint: false,
        })
    }
}
