//! Sizes and options of improved-diffusion's U-Net.

use serde::{Deserialize, Serialize};

use crate::{ConfigError, ImageSize};

/// Sizes and options of improved-diffusion's U-Net.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImprovedConfig {
    /// Size of the images that it was made for; it takes others, too.
    pub size: ImageSize,
    /// Image channels (`in_channels`); ≥ 1. A super-resolution network sees as many again.
    pub channels: i64,
    /// Channels out (`out_channels`): as many as in, or twice that where it learns the variance.
    pub outputs: i64,
    /// Unit of the feature maps (`model_channels`); see `multipliers`.
    pub features: i64,
    /// Feature maps of each level, in units of `features` (`channel_mult`).
    pub multipliers: Vec<f64>,
    /// Residual blocks of each level on the way down (`num_res_blocks`); ≥ 1. One more on the way up.
    pub blocks: i64,
    /// Where there is attention: down-sampling rates 1, 2, 4, … (`attention_resolutions`).
    #[serde(default)]
    pub attention: Vec<i64>,
    /// Attentions side by side (`num_heads`); they divide the channels.
    #[serde(default = "one")]
    pub heads: i64,
    /// The same on the way up, where it differs (`num_heads_upsample`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heads_upsample: Option<i64>,
    /// Channels of each head, instead of a number of heads (`num_head_channels`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head_channels: Option<i64>,
    /// Order of the attention's projections (`use_new_attention_order`).
    #[serde(default)]
    pub attention_order: AttentionOrder,
    /// How many classes it knows (`num_classes`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classes: Option<i64>,
    /// The time scales and shifts the norms (`use_scale_shift_norm`).
    #[serde(default)]
    pub scale_shift: bool,
    /// Share of features that training drops; 0 ≤ p < 1.
    #[serde(default)]
    pub dropout: f64,
    /// Axes of the images: 1, 2 or 3 (`dims`).
    #[serde(default = "two")]
    pub dims: usize,
    /// Halving and doubling have convolutions (`conv_resample`).
    #[serde(default = "yes")]
    pub learned_resample: bool,
    /// Residual blocks halve and double (`resblock_updown`).
    #[serde(default)]
    pub resblock_updown: bool,
    /// Blocks keep only their inputs for the backward pass and run again there (`use_checkpoint`).
    #[serde(default)]
    pub checkpoint: bool,
}

/// Order of the outputs of an attention's projection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AttentionOrder {
    /// Head by head, as improved-diffusion has it.
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

    /// Feature maps of a level.
    pub(super) fn level(&self, level: usize) -> i64 {
        (self.multipliers[level] * self.features as f64) as i64
    }

    /// Width of the time embedding.
    pub(super) fn embedding(&self) -> i64 {
        4 * self.features
    }

    /// Whether the fields by themselves can be.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        ConfigError::at_least("channels", self.channels, 1)?;
        ConfigError::at_least("outputs", self.outputs, 1)?;
        ConfigError::features(self.features)?;
        ConfigError::levels("multipliers", self.multipliers.len())?;
        for &multiplier in &self.multipliers {
            if !(multiplier > 0.0 && multiplier <= 1024.0) {
                let problem = "cannot be: expected more than 0, at most 1024";
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
