//! Config of EDM2's U-Net.

use serde::{Deserialize, Serialize};

use crate::ConfigError;

/// Config of EDM2's U-Net (Karras et al. 2024, config G). EDM2's names are in brackets.
///
/// A class id of `classes`, one past the last, stands for no class: a row of zeros.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Edm2Config {
    /// Height and width of the images (`img_resolution`). It is part of the layers' names.
    pub size: i64,
    /// Image channels, in and out (`img_channels`); ≥ 1.
    pub channels: i64,
    /// Number of classes (`label_dim`), without the null class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classes: Option<i64>,
    /// The unit of channels (`model_channels`).
    pub features: i64,
    /// Channels of each level, in units of `features` (`channel_mult`).
    pub multipliers: Vec<i64>,
    /// Number of sinusoids of the time, in units of `features` (`channel_mult_noise`). `None`: as many as the
    /// first level has channels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub noise_multiplier: Option<i64>,
    /// Width of the embedding, in units of `features` (`channel_mult_emb`). `None`: that of the widest level.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub embedding_multiplier: Option<i64>,
    /// Residual blocks per level of the encoder (`num_blocks`); ≥ 0. The decoder has one more.
    pub blocks: i64,
    /// Sides of the levels with self-attention (`attn_resolutions`).
    #[serde(default)]
    pub attention: Vec<i64>,
    /// Channels of an attention head (`channels_per_head`). Blocks of fewer channels have no attention.
    #[serde(default = "sixty_four")]
    pub head_channels: i64,
    /// Share of the class in the embedding (`label_balance`); 0 to 1.
    #[serde(default = "half")]
    pub label_balance: f64,
    /// Share of the skip connections in the decoder's input (`concat_balance`); 0 to 1.
    #[serde(default = "half")]
    pub concat_balance: f64,
    /// Share of the residual branch (`res_balance`); 0 to 1.
    #[serde(default = "three_tenths")]
    pub residual_balance: f64,
    /// Share of the attention (`attn_balance`); 0 to 1.
    #[serde(default = "three_tenths")]
    pub attention_balance: f64,
    /// Bound of the activations (`clip_act`); > 0.
    #[serde(default = "clip")]
    pub clip: f64,
    /// Dropout probability (`dropout`); 0 ≤ p < 1.
    #[serde(default)]
    pub dropout: f64,
    /// Number of sinusoids of the uncertainty head (`logvar_channels`). `None`: the U-Net alone, whose names have
    /// no `unet.` before them.
    #[serde(default = "logvar")]
    pub logvar: Option<i64>,
    /// Gradient checkpointing of the blocks.
    #[serde(default)]
    pub checkpoint: bool,
}

fn sixty_four() -> i64 {
    64
}

fn half() -> f64 {
    0.5
}

fn three_tenths() -> f64 {
    0.3
}

fn clip() -> f64 {
    256.0
}

#[allow(clippy::unnecessary_wraps)] // serde takes the field's type
fn logvar() -> Option<i64> {
    Some(128)
}

impl Edm2Config {
    /// The network for latents of ImageNet of 512 × 512 pixels, of this width; 64 is XXS, 128 XS, 192 S, 256 M,
    /// 320 L, 384 XL and 448 XXL.
    pub fn imagenet512(features: i64) -> Self {
        Self {
            size: 64,
            channels: 4,
            classes: Some(1000),
            features,
            multipliers: vec![1, 2, 3, 4],
            noise_multiplier: None,
            embedding_multiplier: None,
            blocks: 3,
            attention: vec![16, 8],
            head_channels: 64,
            label_balance: 0.5,
            concat_balance: 0.5,
            residual_balance: 0.3,
            attention_balance: 0.3,
            clip: 256.0,
            dropout: 0.0,
            logvar: Some(128),
            checkpoint: false,
        }
    }

    /// The network for ImageNet of 64 × 64 pixels, of this width; as [`Edm2Config::imagenet512`].
    pub fn imagenet64(features: i64) -> Self {
        Self { channels: 3, ..Self::imagenet512(features) }
    }

    /// Channels of each level.
    pub(super) fn level_channels(&self) -> Vec<i64> {
        self.multipliers.iter().map(|multiplier| self.features * multiplier).collect()
    }

    /// Number of sinusoids.
    pub(super) fn noise_features(&self) -> i64 {
        self.features * self.noise_multiplier.unwrap_or(self.multipliers[0])
    }

    /// Width of the embedding.
    pub(super) fn embedding(&self) -> i64 {
        let widest = self.multipliers.iter().copied().max().unwrap_or(1);
        self.features * self.embedding_multiplier.unwrap_or(widest)
    }

    /// Checks the fields one by one.
    ///
    /// # Errors
    /// The invalid field.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        ConfigError::at_least("channels", self.channels, 1)?;
        ConfigError::features(self.features)?;
        ConfigError::levels("multipliers", self.multipliers.len())?;
        let multipliers = self.multipliers.iter().map(|&given| ("multipliers", given));
        let noise = self.noise_multiplier.map(|given| ("noise_multiplier", given));
        let embedding = self.embedding_multiplier.map(|given| ("embedding_multiplier", given));
        for (field, given) in multipliers.chain(noise).chain(embedding) {
            ConfigError::within(field, given, 1, 1024)?;
            // A layer of the decoder takes two levels.
            ConfigError::within(field, given.saturating_mul(self.features), 1, 1 << 15)?;
        }
        ConfigError::within("blocks", self.blocks, 0, 64)?;
        if let Some(classes) = self.classes {
            ConfigError::within("classes", classes, 1, 1 << 24)?;
        }
        ConfigError::within("head_channels", self.head_channels, 1, 1 << 16)?;
        if let Some(width) = self.logvar {
            ConfigError::within("logvar", width, 1, 1 << 20)?;
        }
        for (field, share) in [
            ("label_balance", self.label_balance),
            ("concat_balance", self.concat_balance),
            ("residual_balance", self.residual_balance),
            ("attention_balance", self.attention_balance),
        ] {
            if !(0.0..=1.0).contains(&share) {
                return Err(ConfigError::field(field, share, "is no share: expected 0 to 1"));
            }
        }
        if !(self.clip > 0.0 && self.clip.is_finite()) {
            let problem = "is out of range: expected a finite number above 0";
            return Err(ConfigError::field("clip", self.clip, problem));
        }
        ConfigError::dropout(self.dropout)?;
        self.check_heads()?;
        self.check_size()
    }

    /// The heads divide the channels of each level that attends.
    fn check_heads(&self) -> Result<(), ConfigError> {
        let deepest = self.multipliers.len() - 1;
        for (level, channels) in self.level_channels().into_iter().enumerate() {
            let attends = level == deepest || self.attention.contains(&(self.size >> level));
            let heads = channels / self.head_channels;
            if attends && heads > 0 && channels % heads != 0 {
                let problem =
                    format!("makes {heads} heads, which do not divide {channels} channels");
                return Err(ConfigError::field("head_channels", self.head_channels, problem));
            }
        }
        Ok(())
    }

    /// Every level has an own side, which names its layers.
    fn check_size(&self) -> Result<(), ConfigError> {
        ConfigError::within("size", self.size, 1, 1 << 20)?;
        let halvings = self.multipliers.len() - 1;
        let multiple = 1 << halvings;
        if self.size % multiple == 0 {
            return Ok(());
        }
        let problem = format!(
            "cannot be halved {halvings} times: expected a multiple of {multiple}, such as {}",
            (self.size / multiple + 1) * multiple
        );
        Err(ConfigError::field("size", self.size, problem))
    }
}
