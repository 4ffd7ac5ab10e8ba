//! Compatibility with NVlabs/edm: its argument names.

use inkdrop_nn::FilterTaps;
use serde::Deserialize;

use super::{EdmArchitecture, EdmConfig, EdmDecoder, EdmEncoder, EdmTimeEmbedding, SongConfig};
use crate::ConfigError;

/// The arguments of `SongUNet` and `DhariwalUNet`, with their defaults.
///
/// `arch`, or `model_type` as in EDM's preconditioned networks, names the class. `label_dropout` is an option of
/// the training here and has no effect.
///
/// ```
/// use inkdrop_unet::{EdmArguments, EdmConfig};
///
/// let arguments: EdmArguments = serde_json::from_str(
///     r#"{"arch": "DhariwalUNet", "img_resolution": 64, "in_channels": 3, "out_channels": 3,
///         "label_dim": 1000}"#,
/// )?;
/// assert_eq!(arguments.config()?, EdmConfig::imagenet64());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)] // EDM's names; EdmConfig explains them
pub struct EdmArguments {
    #[serde(alias = "model_type")]
    pub arch: String,
    pub img_resolution: i64,
    #[serde(alias = "img_channels")]
    pub in_channels: i64,
    #[serde(default)]
    pub out_channels: Option<i64>,
    #[serde(default)]
    pub label_dim: i64,
    #[serde(default)]
    pub augment_dim: i64,
    #[serde(default)]
    pub model_channels: Option<i64>,
    #[serde(default)]
    pub channel_mult: Option<Vec<i64>>,
    #[serde(default)]
    pub channel_mult_emb: Option<i64>,
    #[serde(default)]
    pub num_blocks: Option<i64>,
    #[serde(default)]
    pub attn_resolutions: Option<Vec<i64>>,
    #[serde(default)]
    pub dropout: Option<f64>,
    #[serde(default)]
    pub label_dropout: f64,
    #[serde(default)]
    pub embedding_type: Option<String>,
    #[serde(default)]
    pub channel_mult_noise: Option<i64>,
    #[serde(default)]
    pub encoder_type: Option<String>,
    #[serde(default)]
    pub decoder_type: Option<String>,
    #[serde(default)]
    pub resample_filter: Option<Vec<f64>>,
}

impl EdmArguments {
    /// The same network as a config.
    ///
    /// # Errors
    /// An unknown class, embedding, encoder, decoder or filter.
    pub fn config(&self) -> Result<EdmConfig, ConfigError> {
        let some = |count: i64| (count > 0).then_some(count);
        let song = match self.arch.as_str() {
            "SongUNet" => Some(self.song()?),
            "DhariwalUNet" => None,
            other => {
                let problem = "is unknown: expected SongUNet or DhariwalUNet";
                return Err(ConfigError::field("arch", other, problem));
            }
        };
        let defaults = match song {
            Some(_) => EdmConfig { multipliers: vec![1, 2, 2, 2], ..EdmConfig::cifar10() },
            None => EdmConfig::imagenet64(),
        };
        Ok(EdmConfig {
            architecture: song.map_or(EdmArchitecture::Dhariwal, EdmArchitecture::Song),
            size: self.img_resolution,
            channels: self.in_channels,
            outputs: self.out_channels.unwrap_or(self.in_channels),
            classes: some(self.label_dim),
            augment: some(self.augment_dim),
            features: self.model_channels.unwrap_or(defaults.features),
            multipliers: self.channel_mult.clone().unwrap_or(defaults.multipliers),
            embedding_multiplier: self.channel_mult_emb.unwrap_or(4),
            blocks: self.num_blocks.unwrap_or(defaults.blocks),
            attention: self.attn_resolutions.clone().unwrap_or(defaults.attention),
            dropout: self.dropout.unwrap_or(0.1),
            checkpoint: false,
        })
    }

    fn song(&self) -> Result<SongConfig, ConfigError> {
        let unknown = |field, given: &str, expected: &str| {
            Err(ConfigError::field(field, given, format!("is unknown: expected {expected}")))
        };
        let filter = match self.resample_filter.as_deref() {
            None => FilterTaps::Box,
            Some(taps) if taps == FilterTaps::Box.taps() => FilterTaps::Box,
            Some(taps) if taps == FilterTaps::Bilinear.taps() => FilterTaps::Bilinear,
            Some(taps) => {
                return unknown("resample_filter", &format!("{taps:?}"), "[1, 1] or [1, 3, 3, 1]");
            }
        };
        Ok(SongConfig {
            time_embedding: match self.embedding_type.as_deref() {
                None | Some("positional") => EdmTimeEmbedding::Positional,
                Some("fourier") => EdmTimeEmbedding::Fourier,
                Some(other) => return unknown("embedding_type", other, "positional or fourier"),
            },
            noise_multiplier: self.channel_mult_noise.unwrap_or(1),
            encoder: match self.encoder_type.as_deref() {
                None | Some("standard") => EdmEncoder::Standard,
                Some("skip") => EdmEncoder::Skip,
                Some("residual") => EdmEncoder::Residual,
                Some(other) => {
                    return unknown("encoder_type", other, "standard, skip or residual");
                }
            },
            decoder: match self.decoder_type.as_deref() {
                None | Some("standard") => EdmDecoder::Standard,
                Some("skip") => EdmDecoder::Skip,
                Some(other) => return unknown("decoder_type", other, "standard or skip"),
            },
            filter,
        })
    }
}
