//! Which block stands where in nanodiffusion's U-Net.

use inkdrop_nn::{
    AttentionConfig, ConvConfig, LayerConfig, NormConfig, ResBlockConfig, ResampleConfig,
};

use super::DdpmConfig;
use crate::ConfigError;
use crate::backbone::{HeadLayout, Layout, MlpLayout, StageLayout};

impl DdpmConfig {
    /// # Errors
    /// The field that cannot be.
    pub(crate) fn layout(&self) -> Result<Layout, ConfigError> {
        self.check()?;
        let features = self.features;
        let time = |width| MlpLayout {
            scope: "time_mlp",
            keys: ["1", "3"],
            widths: [features, width, width],
        };
        let (down, channels, skips) = self.down();
        let layout = Layout {
            dims: 2,
            time: self.time_features.map(time),
            classes: None, // each block has its own biases
            down,
            middle: vec![StageLayout::plain(
                "mid",
                [
                    self.res("mid.0", channels, channels, true),
                    self.res("mid.1", channels, channels, false),
                ]
                .concat(),
            )],
            up: self.up(channels, skips),
            head: HeadLayout {
                norm_key: "out_norm",
                norm: self.norm(),
                activation: self.activation,
                conv_key: "out_conv",
                conv: ConvConfig::same(features, self.channels, 3),
                zero: false,
            },
            first_conv_first: false,
        };
        layout.check()?;
        Ok(layout)
    }

    /// The way down; what is left at the bottom, and the channels of all skips.
    fn down(&self) -> (Vec<StageLayout>, i64, Vec<i64>) {
        let first = LayerConfig::Conv(ConvConfig::same(self.channels, self.features, 3));
        let mut stages =
            vec![StageLayout::plain("init_conv", vec![("init_conv".to_string(), first)])];
        let (mut channels, mut skips) = (self.features, vec![self.features]);
        let mut push =
            |stages: &mut Vec<StageLayout>, layers: Vec<(String, LayerConfig)>, channels| {
                stages.push(StageLayout::plain(format!("downs.{}", stages.len() - 1), layers));
                skips.push(channels);
            };
        for (level, multiplier) in self.multipliers.iter().enumerate() {
            let outputs = self.features * multiplier;
            for _ in 0..self.blocks {
                let key = format!("downs.{}", stages.len() - 1);
                let layers = self.res(&key, channels, outputs, self.attends(level));
                channels = outputs;
                push(&mut stages, layers, channels);
            }
            if level + 1 < self.multipliers.len() {
                let key = format!("downs.{}.downsample", stages.len() - 1);
                let down = LayerConfig::Down(ResampleConfig::learned(channels));
                push(&mut stages, vec![(key, down)], channels);
            }
        }
        (stages, channels, skips)
    }

    fn up(&self, mut channels: i64, mut skips: Vec<i64>) -> Vec<StageLayout> {
        let mut stages = Vec::new();
        for (level, multiplier) in self.multipliers.iter().enumerate().rev() {
            let outputs = self.features * multiplier;
            for _ in 0..=self.blocks {
                let key = format!("ups.{}", stages.len());
                let inputs = channels + skips.pop().unwrap_or(0);
                let layers = self.res(&key, inputs, outputs, self.attends(level));
                stages.push(StageLayout::joined(key, layers));
                channels = outputs;
            }
            if level > 0 {
                let key = format!("ups.{}", stages.len());
                let up = LayerConfig::Up(ResampleConfig::learned(channels));
                stages.push(StageLayout::plain(&key, vec![(format!("{key}.upsample.1"), up)]));
            }
        }
        stages
    }

    fn attends(&self, level: usize) -> bool {
        self.attention.contains(&(level as i64))
    }

    fn norm(&self) -> NormConfig {
        NormConfig { kind: self.norm, ..NormConfig::groups(self.groups) }
    }

    /// A residual block, with its attention behind it.
    fn res(
        &self,
        key: &str,
        inputs: i64,
        outputs: i64,
        attends: bool,
    ) -> Vec<(String, LayerConfig)> {
        let config = ResBlockConfig {
            classes: self.classes,
            dropout: self.dropout,
            norm: self.norm(),
            activation: self.activation,
            ..ResBlockConfig::ddpm(inputs, outputs, self.time_features)
        };
        let mut layers = vec![(key.to_string(), LayerConfig::Res(config))];
        if attends {
            let attention = AttentionConfig::ddpm(outputs, self.norm());
            layers.push((format!("{key}.attention"), LayerConfig::Attention(attention)));
        }
        layers
    }
}
