//! Which block stands where in diffusers' UNet2DModel.

use inkdrop_nn::{
    Activation, AttentionConfig, AttentionKeys, ConvConfig, LayerConfig, NormConfig, NormKind,
    Projection, ResBlockConfig, ResBlockKeys, Resample, ResampleConfig,
};

use super::{ClassEmbedding, Unet2dConfig};
use crate::ConfigError;
use crate::backbone::{ClassLayout, HeadLayout, Layout, MlpLayout, StageLayout};

type Layers = Vec<(String, LayerConfig)>;

/// The keys of diffusers' TimestepEmbedding.
const LINEAR: [&str; 2] = ["linear_1", "linear_2"];

impl Unet2dConfig {
    /// # Errors
    /// The field that cannot be.
    pub(crate) fn layout(&self) -> Result<Layout, ConfigError> {
        self.check()?;
        let width = self.embedding();
        let mlp =
            |scope| MlpLayout { scope, keys: LINEAR, widths: [self.features[0], width, width] };
        let classes = |rows| match self.class_embedding {
            ClassEmbedding::Table => ClassLayout::Table { key: "class_embedding", rows, width },
            ClassEmbedding::Timestep => ClassLayout::Sinusoids(mlp("class_embedding")),
        };
        let layout = Layout {
            dims: 2,
            time: Some(mlp("time_embedding")),
            classes: self.classes.map(classes),
            down: self.down()?,
            middle: self.middle()?,
            up: self.up()?,
            head: HeadLayout {
                norm_key: "conv_norm_out",
                norm: self.norm(),
                activation: Activation::Silu, // whatever `activation` says
                conv_key: "conv_out",
                conv: ConvConfig::same(self.features[0], self.outputs, 3),
                zero: false,
            },
            first_conv_first: true,
        };
        layout.check()?;
        Ok(layout)
    }

    fn down(&self) -> Result<Vec<StageLayout>, ConfigError> {
        let first = LayerConfig::Conv(ConvConfig::same(self.channels, self.features[0], 3));
        let mut stages = vec![StageLayout::plain("conv_in", vec![("conv_in".to_string(), first)])];
        let mut channels = self.features[0];
        for (level, &outputs) in self.features.iter().enumerate() {
            let (block, attends) = (format!("down_blocks.{level}"), self.down_attention[level]);
            for layer in 0..self.blocks {
                let layers = self.pair(&block, layer, channels, outputs, attends)?;
                stages.push(StageLayout::plain(format!("{block}.{layer}"), layers));
                channels = outputs;
            }
            if level + 1 < self.features.len() {
                let key = format!("{block}.downsamplers.0");
                let layer = if attends && self.resblock_down {
                    let resample = Resample::Halve;
                    (
                        key.clone(),
                        LayerConfig::Res(ResBlockConfig { resample, ..self.res(outputs, outputs) }),
                    )
                } else {
                    let far_padding = self.far_padding;
                    let config = ResampleConfig { far_padding, ..ResampleConfig::learned(outputs) };
                    (format!("{key}.conv"), LayerConfig::Down(config))
                };
                stages.push(StageLayout::plain(key, vec![layer]));
            }
        }
        Ok(stages)
    }

    fn middle(&self) -> Result<Vec<StageLayout>, ConfigError> {
        if !self.middle {
            return Ok(Vec::new());
        }
        let channels = self.features[self.features.len() - 1];
        let divisor = self.middle_divisor;
        let res = LayerConfig::Res(ResBlockConfig { divisor, ..self.res(channels, channels) });
        let mut layers = vec![("mid_block.resnets.0".to_string(), res.clone())];
        if self.middle_attention {
            let norm = match (self.middle_groups, self.scale_shift) {
                (Some(groups), _) => NormConfig { groups, ..self.norm() },
                (None, false) => self.norm(),
                (None, true) => NormConfig { kind: NormKind::None, ..self.norm() },
            };
            let attention = AttentionConfig { norm, divisor, ..self.attention(channels)? };
            layers.push(("mid_block.attentions.0".to_string(), LayerConfig::Attention(attention)));
        }
        layers.push(("mid_block.resnets.1".to_string(), res));
        Ok(vec![StageLayout::plain("mid_block", layers)])
    }

    fn up(&self) -> Result<Vec<StageLayout>, ConfigError> {
        let widths: Vec<i64> = self.features.iter().rev().copied().collect();
        let mut stages = Vec::new();
        let mut channels = widths[0];
        for (level, &outputs) in widths.iter().enumerate() {
            let (block, attends) = (format!("up_blocks.{level}"), self.up_attention[level]);
            let next = widths[(level + 1).min(widths.len() - 1)];
            for layer in 0..=self.blocks {
                let skip = if layer == self.blocks { next } else { outputs };
                let layers = self.pair(&block, layer, channels + skip, outputs, attends)?;
                stages.push(StageLayout::joined(format!("{block}.{layer}"), layers));
                channels = outputs;
            }
            if level + 1 < widths.len() {
                let key = format!("{block}.upsamplers.0");
                let layer = if attends && self.resblock_up {
                    let resample = Resample::Double;
                    (
                        key.clone(),
                        LayerConfig::Res(ResBlockConfig { resample, ..self.res(outputs, outputs) }),
                    )
                } else {
                    (format!("{key}.conv"), LayerConfig::Up(ResampleConfig::learned(outputs)))
                };
                stages.push(StageLayout::plain(key, vec![layer]));
            }
        }
        Ok(stages)
    }

    /// A residual block, and its attention where there is one.
    fn pair(
        &self,
        block: &str,
        layer: i64,
        inputs: i64,
        outputs: i64,
        attends: bool,
    ) -> Result<Layers, ConfigError> {
        let res = LayerConfig::Res(self.res(inputs, outputs));
        let mut layers = vec![(format!("{block}.resnets.{layer}"), res)];
        if attends {
            let attention = LayerConfig::Attention(self.attention(outputs)?);
            layers.push((format!("{block}.attentions.{layer}"), attention));
        }
        Ok(layers)
    }

    fn norm(&self) -> NormConfig {
        NormConfig { eps: self.eps, ..NormConfig::groups(self.groups) }
    }

    fn res(&self, inputs: i64, outputs: i64) -> ResBlockConfig {
        ResBlockConfig {
            scale_shift: self.scale_shift,
            dropout: self.dropout,
            norm: self.norm(),
            activation: self.activation,
            zero_out: false,
            keys: ResBlockKeys::DIFFUSERS,
            ..ResBlockConfig::improved(inputs, outputs, self.embedding())
        }
    }

    fn attention(&self, channels: i64) -> Result<AttentionConfig, ConfigError> {
        let width = self.head_channels.unwrap_or(channels);
        let heads = channels / width;
        if heads < 1 {
            let problem = format!("is more than the {channels} channels of a level with attention");
            return Err(ConfigError::field("head_channels", width, problem));
        }
        Ok(AttentionConfig {
            inner: heads * width,
            norm: self.norm(),
            projection: Projection::Separate,
            zero_out: false,
            keys: AttentionKeys::DIFFUSERS,
            ..AttentionConfig::improved(channels, heads)
        })
    }
}
