//! Config of nanodiffusion's U-Net.

use inkdrop_nn::{Activation, NormKind};
use serde::{Deserialize, Serialize};

use crate::{ConfigError, ImageSize};

/// Config of nanodiffusion's U-Net. nanodiffusion's names are in brackets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DdpmConfig {
    /// Default image size. The network takes other sizes, too.
    pub size: ImageSize,
    /// Image channels (`img_channels`); ≥ 1.
    pub channels: i64,
    /// Channels of the first level (`base_channels`); even.
    pub features: i64,
    /// Channels of each level, in units of `features` (`channel_mults`); the first is 1.
    pub multipliers: Vec<i64>,
    /// Residual blocks per level of the encoder (`num_res_blocks`); ≥ 1. The decoder has one more.
    pub blocks: i64,
    /// Width of the timestep embedding (`time_emb_dim`). `None`: the network ignores t.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_features: Option<i64>,
    /// Factor of t in the sinusoids (`time_emb_scale`).
    #[serde(default = "one")]
    pub time_scale: f64,
    /// The network takes the length of a time interval beside the time, for mean velocities (MeanFlow).
    /// nanodiffusion has none.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub interval: bool,
    /// Number of classes (`num_classes`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classes: Option<i64>,
    /// Activation (`activation`).
    #[serde(default = "relu")]
    pub activation: Activation,
    /// Dropout probability (`dropout`); 0 ≤ p < 1.
    #[serde(default = "tenth")]
    pub dropout: f64,
    /// Levels with self-attention, counted from 0 (`attention_resolutions`).
    #[serde(default)]
    pub attention: Vec<i64>,
    /// Normalisation (`norm`).
    #[serde(default = "group")]
    pub norm: NormKind,
    /// Groups of a group normalisation (`num_groups`).
    #[serde(default = "thirty_two")]
    pub groups: i64,
    /// Zero padding of the input, cropped from the output (`initial_pad`); ≥ 0.
    #[serde(default)]
    pub padding: i64,
    /// Gradient checkpointing of residual and attention blocks.
    #[serde(default)]
    pub checkpoint: bool,
}

fn one() -> f64 {
    1.0
}

fn tenth() -> f64 {
    0.1
}

fn relu() -> Activation {
    Activation::Relu
}

fn group() -> NormKind {
    NormKind::Group
}

fn thirty_two() -> i64 {
    32
}

impl DdpmConfig {
    /// The CIFAR-10 network of nanodiffusion's script: 35.75 million parameters.
    pub fn cifar10() -> Self {
        Self {
            size: ImageSize::square(32),
            channels: 3,
            features: 128,
            multipliers: vec![1, 2, 2, 2],
            blocks: 2,
            time_features: Some(512),
            time_scale: 1.0,
            interval: false,
            classes: None,
            activation: Activation::Silu,
            dropout: 0.1,
            attention: vec![1],
            norm: NormKind::Group,
            groups: 32,
            padding: 0,
            checkpoint: false,
        }
    }

    /// Checks the fields one by one.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        ConfigError::at_least("channels", self.channels, 1)?;
        ConfigError::features(self.features)?;
        if self.interval && self.time_features.is_none() {
            let problem = "needs time_features: this network ignores the time";
            return Err(ConfigError::field("interval", true, problem));
        }
        if self.time_features.is_some() && self.features % 2 != 0 {
            let problem = "is odd: expected an even number, since the timestep embedding has pairs of sine and cosine";
            return Err(ConfigError::field("features", self.features, problem));
        }
        ConfigError::levels("multipliers", self.multipliers.len())?;
        if self.multipliers[0] != 1 {
            let problem =
                "begin with another number than 1, and the last norm has `features` channels";
            return Err(ConfigError::field(
                "multipliers",
                format!("{:?}", self.multipliers),
                problem,
            ));
        }
        for &multiplier in &self.multipliers {
            ConfigError::within("multipliers", multiplier, 1, 1024)?;
        }
        ConfigError::within("blocks", self.blocks, 1, 64)?;
        if let Some(width) = self.time_features {
            ConfigError::within("time_features", width, 1, 1 << 20)?;
        }
        if let Some(classes) = self.classes {
            ConfigError::within("classes", classes, 1, 1 << 24)?;
        }
        ConfigError::dropout(self.dropout)?;
        if !self.time_scale.is_finite() {
            return Err(ConfigError::field(
                "time_scale",
                self.time_scale,
                "is not finite: expected a finite factor",
            ));
        }
        let levels = self.multipliers.len() as i64;
        if let Some(level) = self.attention.iter().find(|level| !(0..levels).contains(level)) {
            let problem = format!("is not a level: expected 0 to {}", levels - 1);
            return Err(ConfigError::field("attention", level, problem));
        }
        ConfigError::within("padding", self.padding, 0, 1024)
    }
}
