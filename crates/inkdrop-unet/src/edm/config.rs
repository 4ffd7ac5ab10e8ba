//! Config of EDM's U-Nets.

use inkdrop_nn::FilterTaps;
use serde::{Deserialize, Serialize};

use crate::ConfigError;

/// Config of EDM's U-Nets (Karras et al. 2022, table 7). EDM's names are in brackets.
///
/// A class id of `classes`, one past the last, stands for no class: a row of zeros. Augmentation labels may be
/// left out, which is a row of zeros as well.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EdmConfig {
    /// SongUNet or DhariwalUNet, with its options.
    pub architecture: EdmArchitecture,
    /// Height and width of the images (`img_resolution`). It is part of the layers' names.
    pub size: i64,
    /// Image channels (`in_channels`); ≥ 1.
    pub channels: i64,
    /// Output channels (`out_channels`); ≥ 1.
    pub outputs: i64,
    /// Number of classes (`label_dim`), without the null class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classes: Option<i64>,
    /// Number of augmentation labels (`augment_dim`); 9 in the published networks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub augment: Option<i64>,
    /// The unit of channels (`model_channels`); even.
    pub features: i64,
    /// Channels of each level, in units of `features` (`channel_mult`).
    pub multipliers: Vec<i64>,
    /// Width of the embedding, in units of `features` (`channel_mult_emb`).
    #[serde(default = "four")]
    pub embedding_multiplier: i64,
    /// Residual blocks per level of the encoder (`num_blocks`); ≥ 0. The decoder has one more.
    pub blocks: i64,
    /// Sides of the levels with self-attention (`attn_resolutions`).
    #[serde(default)]
    pub attention: Vec<i64>,
    /// Dropout probability (`dropout`); 0 ≤ p < 1.
    #[serde(default = "tenth")]
    pub dropout: f64,
    /// Gradient checkpointing of residual and attention blocks.
    #[serde(default)]
    pub checkpoint: bool,
}

/// The architecture, with what only it has.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EdmArchitecture {
    /// The U-Net of Song et al. 2021, in EDM's form (`SongUNet`).
    Song(SongConfig),
    /// The U-Net of Dhariwal & Nichol 2021, in EDM's form (`DhariwalUNet`): scale-shift norms, heads of 64
    /// channels. Blocks of less than 64 channels have no attention.
    Dhariwal,
}

/// Options of `SongUNet`. The default is DDPM++.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SongConfig {
    /// Form of the time embedding (`embedding_type`).
    pub time_embedding: EdmTimeEmbedding,
    /// Width of the sinusoids, in units of `features` (`channel_mult_noise`).
    pub noise_multiplier: i64,
    /// What the image adds to the encoder at each level (`encoder_type`).
    pub encoder: EdmEncoder,
    /// Where the decoder has outputs (`decoder_type`).
    pub decoder: EdmDecoder,
    /// Filter of the resampling (`resample_filter`).
    pub filter: FilterTaps,
}

/// Form of the time embedding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EdmTimeEmbedding {
    /// Sinusoids of fixed frequencies (Vaswani et al. 2017).
    Positional,
    /// Sinusoids of random frequencies (Song et al. 2021).
    Fourier,
}

/// What the image adds to the encoder at each level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EdmEncoder {
    /// Nothing.
    Standard,
    /// A projection of the downsampled image.
    Skip,
    /// A downsampling convolution of the image, which goes on to the next level as the image.
    Residual,
}

/// Where the decoder has outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EdmDecoder {
    /// At its end.
    Standard,
    /// At every level; they are upsampled and summed.
    Skip,
}

impl Default for SongConfig {
    fn default() -> Self {
        Self {
            time_embedding: EdmTimeEmbedding::Positional,
            noise_multiplier: 1,
            encoder: EdmEncoder::Standard,
            decoder: EdmDecoder::Standard,
            filter: FilterTaps::Box,
        }
    }
}

impl SongConfig {
    /// NCSN++: Fourier features, a residual encoder and the bilinear filter.
    pub fn ncsnpp() -> Self {
        Self {
            time_embedding: EdmTimeEmbedding::Fourier,
            noise_multiplier: 2,
            encoder: EdmEncoder::Residual,
            decoder: EdmDecoder::Standard,
            filter: FilterTaps::Bilinear,
        }
    }
}

fn four() -> i64 {
    4
}

fn tenth() -> f64 {
    0.1
}

impl EdmConfig {
    /// EDM's DDPM++ for CIFAR-10, without classes: 55.7 million parameters.
    pub fn cifar10() -> Self {
        Self {
            architecture: EdmArchitecture::Song(SongConfig::default()),
            size: 32,
            channels: 3,
            outputs: 3,
            classes: None,
            augment: Some(9),
            features: 128,
            multipliers: vec![2, 2, 2],
            embedding_multiplier: 4,
            blocks: 4,
            attention: vec![16],
            dropout: 0.13,
            checkpoint: false,
        }
    }

    /// EDM's DDPM++ for FFHQ and AFHQv2 of 64 × 64 pixels: 61.8 million parameters.
    pub fn ffhq() -> Self {
        Self { size: 64, multipliers: vec![1, 2, 2, 2], dropout: 0.05, ..Self::cifar10() }
    }

    /// EDM's ADM network for ImageNet of 64 × 64 pixels with 1000 classes: 295.9 million parameters.
    pub fn imagenet64() -> Self {
        Self {
            architecture: EdmArchitecture::Dhariwal,
            size: 64,
            classes: Some(1000),
            augment: None,
            features: 192,
            multipliers: vec![1, 2, 3, 4],
            blocks: 3,
            attention: vec![32, 16, 8],
            dropout: 0.1,
            ..Self::cifar10()
        }
    }

    /// The options of SongUNet, if it is one.
    pub(super) fn song(&self) -> Option<&SongConfig> {
        match &self.architecture {
            EdmArchitecture::Song(song) => Some(song),
            EdmArchitecture::Dhariwal => None,
        }
    }

    /// Width of the sinusoids.
    pub(super) fn noise_features(&self) -> i64 {
        self.features * self.song().map_or(1, |song| song.noise_multiplier)
    }

    /// Width of the embedding.
    pub(super) fn embedding(&self) -> i64 {
        self.features * self.embedding_multiplier
    }

    /// Checks the fields one by one.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        ConfigError::at_least("channels", self.channels, 1)?;
        ConfigError::at_least("outputs", self.outputs, 1)?;
        ConfigError::features(self.features)?;
        if self.features % 2 != 0 {
            let problem = "is odd: expected an even number, since the time embedding has pairs of sine and cosine";
            return Err(ConfigError::field("features", self.features, problem));
        }
        ConfigError::levels("multipliers", self.multipliers.len())?;
        for &multiplier in &self.multipliers {
            ConfigError::within("multipliers", multiplier, 1, 1024)?;
        }
        ConfigError::within("embedding_multiplier", self.embedding_multiplier, 1, 1024)?;
        if let Some(song) = self.song() {
            ConfigError::within("noise_multiplier", song.noise_multiplier, 1, 1024)?;
        }
        ConfigError::within("blocks", self.blocks, 0, 64)?;
        if let Some(classes) = self.classes {
            ConfigError::within("classes", classes, 1, 1 << 24)?;
        }
        if let Some(labels) = self.augment {
            ConfigError::within("augment", labels, 1, 1 << 16)?;
        }
        ConfigError::dropout(self.dropout)?;
        self.check_size()
    }

    /// Every level has an own side, which names its layers.
    fn check_size(&self) -> Result<(), ConfigError> {
        ConfigError::within("size", self.size, 1, 1 << 20)?;
        let multiple = 1 << (self.multipliers.len() - 1);
        if self.size % multiple == 0 {
            return Ok(());
        }
        let problem = format!(
            "cannot be halved {} times: expected a multiple of {multiple}, such as {}",
            self.multipliers.len() - 1,
            (self.size / multiple + 1) * multiple
        );
        Err(ConfigError::field("size", self.size, problem))
    }
}
