//! Config of diffusers' UNet2DModel.

use inkdrop_nn::Activation;
use serde::{Deserialize, Serialize};

use crate::{ConfigError, ImageSize};

/// Config of diffusers' UNet2DModel. diffusers' names are in brackets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unet2dConfig {
    /// Default image size (`sample_size`). The network takes other sizes, too.
    pub size: ImageSize,
    /// Image channels (`in_channels`); ≥ 1.
    pub channels: i64,
    /// Output channels (`out_channels`); ≥ 1.
    pub outputs: i64,
    /// Channels of each level (`block_out_channels`).
    pub features: Vec<i64>,
    /// Residual blocks per level of the encoder (`layers_per_block`). The decoder has one more.
    pub blocks: i64,
    /// Levels of the encoder with self-attention, in its order (`down_block_types`).
    pub down_attention: Vec<bool>,
    /// Levels of the decoder with self-attention, in its order (`up_block_types`).
    pub up_attention: Vec<bool>,
    /// The network has a middle block (`mid_block_type`).
    #[serde(default = "yes")]
    pub middle: bool,
    /// The middle block has self-attention (`add_attention`).
    #[serde(default = "yes")]
    pub middle_attention: bool,
    /// Divides the residual sums of the middle block (`mid_block_scale_factor`).
    #[serde(default = "one")]
    pub middle_divisor: f64,
    /// Channels of each attention head (`attention_head_dim`). `None`: one head.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head_channels: Option<i64>,
    /// Groups of the norms (`norm_num_groups`).
    #[serde(default = "thirty_two")]
    pub groups: i64,
    /// Groups of the norm before the middle block's attention (`attn_norm_num_groups`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub middle_groups: Option<i64>,
    /// ε of the norms (`norm_eps`).
    #[serde(default = "eps")]
    pub eps: f64,
    /// Activation inside the residual blocks (`act_fn`).
    #[serde(default = "silu")]
    pub activation: Activation,
    /// Dropout probability; 0 ≤ p < 1.
    #[serde(default)]
    pub dropout: f64,
    /// Scale-shift norm (adaptive group norm, `resnet_time_scale_shift`).
    #[serde(default)]
    pub scale_shift: bool,
    /// Downsampling pads at the far end only (`downsample_padding` 0).
    #[serde(default)]
    pub far_padding: bool,
    /// Levels with attention downsample by a residual block (`downsample_type` resnet).
    #[serde(default)]
    pub resblock_down: bool,
    /// Levels with attention upsample by a residual block (`upsample_type` resnet).
    #[serde(default)]
    pub resblock_up: bool,
    /// Levels without attention downsample by a residual block (`ResnetDownsampleBlock2D`).
    #[serde(default)]
    pub plain_resblock_down: bool,
    /// Levels without attention upsample by a residual block (`ResnetUpsampleBlock2D`).
    #[serde(default)]
    pub plain_resblock_up: bool,
    /// Width of the timestep embedding (`time_embedding_dim`). `None`: 4 times the channels of the
    /// first level.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_features: Option<i64>,
    /// Cosines before sines (`flip_sin_to_cos`).
    #[serde(default = "yes")]
    pub cosine_first: bool,
    /// Shift of the sinusoids' frequencies (`freq_shift`).
    #[serde(default)]
    pub frequency_shift: f64,
    /// Number of classes (`num_class_embeds`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classes: Option<i64>,
    /// Form of the class embedding (`class_embed_type`).
    #[serde(default)]
    pub class_embedding: ClassEmbedding,
    /// The network computes with 2·x − 1 (`center_input_sample`).
    #[serde(default)]
    pub center_input: bool,
    /// Gradient checkpointing of residual and attention blocks.
    #[serde(default)]
    pub checkpoint: bool,
}

/// Form of the class embedding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClassEmbedding {
    /// An embedding table.
    #[default]
    Table,
    /// Sinusoids and an MLP, as for a timestep.
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
            plain_resblock_down: false,
            plain_resblock_up: false,
            time_features: None,
            cosine_first: false,
            frequency_shift: 1.0,
            classes: None,
            class_embedding: ClassEmbedding::Table,
            center_input: false,
            checkpoint: false,
        }
    }

    /// Width of the timestep embedding.
    pub(super) fn embedding(&self) -> i64 {
        self.time_features.unwrap_or(4 * self.features[0])
    }

    /// Checks the fields one by one.
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
                return Err(ConfigError::field(
                    field,
                    given,
                    "is out of range: expected more than 0",
                ));
            }
        }
        let half = (self.features[0] / 2) as f64;
        if !(0.0..half.max(1.0)).contains(&self.frequency_shift) {
            let problem = format!("is out of range: expected 0 ≤ frequency_shift < {half}");
            return Err(ConfigError::field("frequency_shift", self.frequency_shift, problem));
        }
        ConfigError::dropout(self.dropout)
    }
}
