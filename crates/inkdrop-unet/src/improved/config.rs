//! Config of improved-diffusion's U-Net.

use serde::{Deserialize, Serialize};

use crate::{ConfigError, ImageSize};

/// Config of improved-diffusion's U-Net. improved- and guided-diffusion's names are in brackets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImprovedConfig {
    /// Default image size. The network takes other sizes, too.
    pub size: ImageSize,
    /// Image channels (`in_channels`); ≥ 1. A super-resolution network takes twice as many.
    pub channels: i64,
    /// Output channels (`out_channels`): those of the image, or twice as many with learned variance.
    pub outputs: i64,
    /// Base number of channels (`model_channels`); see `multipliers`.
    pub features: i64,
    /// Channels of each level, in units of `features` (`channel_mult`).
    pub multipliers: Vec<f64>,
    /// Residual blocks per level of the encoder (`num_res_blocks`); ≥ 1. The decoder has one more.
    pub blocks: i64,
    /// Downsampling rates 1, 2, 4, … of the levels with self-attention (`attention_resolutions`).
    #[serde(default)]
    pub attention: Vec<i64>,
    /// Number of attention heads (`num_heads`); divides the channels.
    #[serde(default = "one")]
    pub heads: i64,
    /// Number of attention heads in the decoder, if it differs (`num_heads_upsample`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heads_upsample: Option<i64>,
    /// Channels of each head, instead of a number of heads (`num_head_channels`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head_channels: Option<i64>,
    /// Order of the attention's projections (`use_new_attention_order`).
    #[serde(default)]
    pub attention_order: AttentionOrder,
    /// Number of classes (`num_classes`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classes: Option<i64>,
    /// Scale-shift norm (adaptive group norm, `use_scale_shift_norm`).
    #[serde(default)]
    pub scale_shift: bool,
    /// Dropout probability; 0 ≤ p < 1.
    #[serde(default)]
    pub dropout: f64,
    /// Number of image axes: 1, 2 or 3 (`dims`).
    #[serde(default = "two")]
    pub dims: usize,
    /// Downsampling and upsampling have convolutions (`conv_resample`).
    #[serde(default = "yes")]
    pub learned_resample: bool,
    /// Residual blocks do the downsampling and upsampling (`resblock_updown`).
    #[serde(default)]
    pub resblock_updown: bool,
    /// Gradient checkpointing of residual and attention blocks (`use_checkpoint`).
    #[serde(default)]
    pub checkpoint: bool,
}

/// Order of the output channels of the attention's qkv projection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AttentionOrder {
    /// Head by head (improved-diffusion).
    #[default]
    Legacy,
    /// All q, all k, all v (guided-diffusion's `use_new_attention_order`).
    New,
}

fn one() -> i64 {
    1
}

fn two() -> usize {
    2
}

fn yes() -> bool {
    true
}

impl ImprovedConfig {
    /// The CIFAR-10 network of the paper: 52.55 million parameters.
    pub fn cifar10() -> Self {
        Self {
            size: ImageSize::square(32),
            channels: 3,
            outputs: 6,
            features: 128,
            multipliers: vec![1.0, 2.0, 2.0, 2.0],
            blocks: 3,
            attention: vec![2, 4],
            heads: 4,
            heads_upsample: None,
            head_channels: None,
            attention_order: AttentionOrder::Legacy,
            classes: None,
            scale_shift: true,
            dropout: 0.3,
            dims: 2,
            learned_resample: true,
            resblock_updown: false,
            checkpoint: false,
        }
    }

    /// Channels of a level.
    pub(super) fn level(&self, level: usize) -> i64 {
        (self.multipliers[level] * self.features as f64) as i64
    }

    /// Width of the timestep embedding.
    pub(super) fn embedding(&self) -> i64 {
        4 * self.features
    }

    /// Checks the fields one by one.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        ConfigError::at_least("channels", self.channels, 1)?;
        ConfigError::at_least("outputs", self.outputs, 1)?;
        ConfigError::features(self.features)?;
        ConfigError::levels("multipliers", self.multipliers.len())?;
        for &multiplier in &self.multipliers {
            if !(multiplier > 0.0 && multiplier <= 1024.0) {
                let problem = "is out of range: expected more than 0, at most 1024";
                return Err(ConfigError::field("multipliers", multiplier, problem));
            }
        }
        ConfigError::within("blocks", self.blocks, 1, 64)?;
        let at_least_one = [
            ("heads", Some(self.heads)),
            ("heads_upsample", self.heads_upsample),
            ("head_channels", self.head_channels),
        ];
        for (field, given) in at_least_one {
            given.map_or(Ok(()), |given| ConfigError::at_least(field, given, 1))?;
        }
        if let Some(classes) = self.classes {
            ConfigError::within("classes", classes, 1, 1 << 24)?;
        }
        ConfigError::dropout(self.dropout)?;
        ConfigError::within("dims", self.dims as i64, 1, 3)
    }
}
