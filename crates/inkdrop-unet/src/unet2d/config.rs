//! Sizes and options of diffusers' UNet2DModel.

use inkdrop_nn::Activation;
use serde::{Deserialize, Serialize};

use crate::{ConfigError, ImageSize};

/// Sizes and options of diffusers' UNet2DModel. Its own names are in brackets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unet2dConfig {
    /// Size of the images that it was made for (`sample_size`); it takes others, too.
    pub size: ImageSize,
    /// Image channels (`in_channels`); ≥ 1.
    pub channels: i64,
    /// Channels out (`out_channels`); ≥ 1.
    pub outputs: i64,
    /// Feature maps of each level (`block_out_channels`).
    pub features: Vec<i64>,
    /// Residual blocks of each level on the way down (`layers_per_block`); one more on the way up.
    pub blocks: i64,
    /// Which levels have attention on the way down, from the top (`down_block_types`).
    pub down_attention: Vec<bool>,
    /// Which levels have attention on the way up, from the bottom (`up_block_types`).
    pub up_attention: Vec<bool>,
    /// Whether there is a middle (`mid_block_type`).
    #[serde(default = "yes")]
    pub middle: bool,
    /// Whether the middle has attention (`add_attention`).
    #[serde(default = "yes")]
    pub middle_attention: bool,
    /// The middle's sums are divided by this (`mid_block_scale_factor`).
    #[serde(default = "one")]
    pub middle_divisor: f64,
    /// Channels of each attention head (`attention_head_dim`); one head where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head_channels: Option<i64>,
    /// Groups of the norms (`norm_num_groups`).
    #[serde(default = "thirty_two")]
    pub groups: i64,
    /// Groups of the norm before the middle's attention (`attn_norm_num_groups`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub middle_groups: Option<i64>,
    /// ε of the norms (`norm_eps`).
    #[serde(default = "eps")]
    pub eps: f64,
    /// The function inside the residual blocks (`act_fn`).
    #[serde(default = "silu")]
    pub activation: Activation,
    /// Share of features that training drops; 0 ≤ p < 1.
    #[serde(default)]
    pub dropout: f64,
    /// The time scales and shifts the norms (`resnet_time_scale_shift`).
    #[serde(default)]
    pub scale_shift: bool,
    /// Halving pads at the far end only (`downsample_padding` 0).
    #[serde(default)]
    pub far_padding: bool,
    /// LevelSpacing with attention halve by a residual block (`downsample_type` resnet).
    #[serde(default)]
    pub resblock_down: bool,
    /// LevelSpacing with attention double by a residual block (`upsample_type` resnet).
    #[serde(default)]
    pub resblock_up: bool,
    /// Width of the time embedding (`time_embedding_dim`); 4·features of the first level where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_features: Option<i64>,
    /// Cosines before sines (`flip_sin_to_cos`).
    #[serde(default = "yes")]
    pub cosine_first: bool,
    /// Shift of the sinusoids' frequencies (`freq_shift`).
    #[serde(default)]
    pub frequency_shift: f64,
    /// How many classes it knows (`num_class_embeds`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classes: Option<i64>,
    /// How a class is read (`class_embed_type`).
    #[serde(default)]
    pub class_embedding: ClassEmbedding,
    /// x is taken as 2·x − 1 (`center_input_sample`).
    #[serde(default)]
    pub center_input: bool,
    /// Blocks keep only their inputs for the backward pass and run again there.
    #[serde(default)]
    pub checkpoint: bool,
}

/// How a class becomes an embedding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClassEmbedding {
    /// A table of vectors.
    #[default]
    Table,
    /// As a time: sinusoids and two layers.
    Timestep,
}

fn yes() -> bool {
    true
}

fn one() -> f64 {
    1.0
}

fn thirty_two() -> i64 {
    32
}

fn eps() -> f64 {
    1e-5
}

fn silu() -> Activation {
    Activation::Silu
}

impl Unet2dConfig {
    /// google/ddpm-cifar10-32: the network of Ho et al. 2020, 35.75 million parameters.
    pub fn cifar10() -> Self {
        Self {
            size: ImageSize::square(32),
            channels: 3,
            outputs: 3,
            features: vec![128, 256, 256, 256],
            blocks: 2,
            down_attention: vec![false, true, false, false],
            up_attention: vec![false, false, true, false],
            middle: true,
            middle_attention: true,
            middle_divisor: 1.0,
            head_channels: None,
            groups: 32,
            middle_groups: None,
            eps: 1e-6,
            activation: Activation::Silu,
            dropout: 0.0,
            scale_shift: false,
            far_padding: true,
            resblock_down: false,
            resblock_up: false,
            time_features: None,
            cosine_first: false,
            frequency_shift: 1.0,
            classes: None,
            class_embedding: ClassEmbedding::Table,
            center_input: false,
            checkpoint: false,
        }
    }

    /// Width of the time embedding.
    pub(super) fn embedding(&self) -> i64 {
        self.time_features.unwrap_or(4 * self.features[0])
    }

    /// Whether the fields by themselves can be.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        ConfigError::at_least("channels", self.channels, 1)?;
        ConfigError::at_least("outputs", self.outputs, 1)?;
        ConfigError::levels("features", self.features.len())?;
        for &features in &self.features {
            ConfigError::features(features)?;
        }
        ConfigError::within("blocks", self.blocks, 1, 64)?;
        let lists =
            [("down_attention", &self.down_attention), ("up_attention", &self.up_attention)];
        for (field, list) in lists {
            if list.len() != self.features.len() {
                let problem = format!("levels, `features` has {}", self.features.len());
                return Err(ConfigError::field(field, list.len(), problem));
            }
        }
        let some = [
            ("head_channels", self.head_channels),
            ("middle_groups", self.middle_groups),
            ("classes", self.classes),
            ("time_features", self.time_features),
        ];
        for (field, given) in some {
            given.map_or(Ok(()), |given| ConfigError::within(field, given, 1, 1 << 20))?;
        }
        for (field, given) in [("eps", self.eps), ("middle_divisor", self.middle_divisor)] {
            if !(given > 0.0 && given.is_finite()) {
                return Err(ConfigError::field(field, given, "cannot be: expected more than 0"));
            }
        }
        let half = (self.features[0] / 2) as f64;
        if !(0.0..half.max(1.0)).contains(&self.frequency_shift) {
            let problem = format!("cannot be: expected 0 ≤ frequency_shift < {half}");
            return Err(ConfigError::field("frequency_shift", self.frequency_shift, problem));
        }
        ConfigError::dropout(self.dropout)
    }
}
