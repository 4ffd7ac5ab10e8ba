//! Compatibility with NVlabs/edm2: its argument names.

use serde::Deserialize;

use super::Edm2Config;
use crate::ConfigError;

/// The arguments of `UNet`, and of `Precond` around it, with their defaults.
///
/// `logvar_channels` is an argument of `Precond`; without it the network has no uncertainty head.
///
/// ```
/// use inkdrop_unet::{Edm2Arguments, Edm2Config};
///
/// let arguments: Edm2Arguments = serde_json::from_str(
///     r#"{"img_resolution": 64, "img_channels": 4, "label_dim": 1000, "logvar_channels": 128}"#,
/// )?;
/// assert_eq!(arguments.config()?, Edm2Config::imagenet512(192));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)] // EDM2's names; Edm2Config explains them
pub struct Edm2Arguments {
    #[serde(default)]
    pub arch: Option<String>,
    pub img_resolution: i64,
    pub img_channels: i64,
    pub label_dim: i64,
    #[serde(default)]
    pub logvar_channels: Option<i64>,
    #[serde(default = "features")]
    pub model_channels: i64,
    #[serde(default = "multipliers")]
    pub channel_mult: Vec<i64>,
    #[serde(default)]
    pub channel_mult_noise: Option<i64>,
    #[serde(default)]
    pub channel_mult_emb: Option<i64>,
    #[serde(default = "blocks")]
    pub num_blocks: i64,
    #[serde(default = "attention")]
    pub attn_resolutions: Vec<i64>,
    #[serde(default)]
    pub label_balance: Option<f64>,
    #[serde(default)]
    pub concat_balance: Option<f64>,
    #[serde(default)]
    pub resample_filter: Option<Vec<f64>>,
    #[serde(default)]
    pub channels_per_head: Option<i64>,
    #[serde(default)]
    pub dropout: f64,
    #[serde(default)]
    pub res_balance: Option<f64>,
    #[serde(default)]
    pub attn_balance: Option<f64>,
    #[serde(default)]
    pub clip_act: Option<f64>,
}

fn features() -> i64 {
    192
}

fn multipliers() -> Vec<i64> {
    vec![1, 2, 3, 4]
}

fn blocks() -> i64 {
    3
}

fn attention() -> Vec<i64> {
    vec![16, 8]
}

impl Edm2Arguments {
    /// The same network as a config.
    ///
    /// # Errors
    /// Another filter than [1, 1].
    pub fn config(&self) -> Result<Edm2Config, ConfigError> {
        if let Some(taps) = self.resample_filter.as_ref().filter(|taps| **taps != [1.0, 1.0]) {
            let problem = "is not supported: expected [1, 1], as in all published networks";
            return Err(ConfigError::field("resample_filter", format!("{taps:?}"), problem));
        }
        let usual = Edm2Config::imagenet512(self.model_channels);
        Ok(Edm2Config {
            size: self.img_resolution,
            channels: self.img_channels,
            classes: (self.label_dim > 0).then_some(self.label_dim),
            features: self.model_channels,
            multipliers: self.channel_mult.clone(),
            noise_multiplier: self.channel_mult_noise,
            embedding_multiplier: self.channel_mult_emb,
            blocks: self.num_blocks,
            attention: self.attn_resolutions.clone(),
            head_channels: self.channels_per_head.unwrap_or(usual.head_channels),
            label_balance: self.label_balance.unwrap_or(usual.label_balance),
            concat_balance: self.concat_balance.unwrap_or(usual.concat_balance),
            residual_balance: self.res_balance.unwrap_or(usual.residual_balance),
            attention_balance: self.attn_balance.unwrap_or(usual.attention_balance),
            clip: self.clip_act.unwrap_or(usual.clip),
            dropout: self.dropout,
            logvar: self.logvar_channels,
            checkpoint: false,
        })
    }
}
