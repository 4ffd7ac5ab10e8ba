//! The layers of diffusers' UNet2DModel.

use inkdrop_nn::{
    Activation, AttentionConfig, AttentionKeys, ConvConfig, LayerConfig, NormConfig, NormKind,
    Params, Projection, ResBlockConfig, ResBlockKeys, Resample, ResampleConfig,
};
use inkdrop_torch::tch::{Device, Kind};

use super::{ClassEmbedding, Unet2dConfig};
use crate::inputs::InputSpec;
use crate::spec::{ClassSpec, EmbeddingSpec, HeadSpec, Sinusoids, StageSpec, UnetSpec};
use crate::{BuildError, ConfigError, Unet};

type Layers = Vec<(String, LayerConfig)>;

impl Unet2dConfig {
    /// The network with PyTorch's default initialisation, in diffusers' order.
    ///
    /// - dtype: `Float` or `Double`; `BFloat16` or `Half` for mixed precision
    ///
    /// # Errors
    /// An invalid config, or libtorch cannot allocate the network.
    pub fn build(&self, dtype: Kind, device: Device) -> Result<Unet, BuildError> {
        Ok(Unet::new(&self.spec()?, Params::new(dtype, device))?)
    }

    /// # Errors
    /// The invalid field.
    pub(crate) fn spec(&self) -> Result<UnetSpec, ConfigError> {
        self.check()?;
        let inputs = InputSpec {
            center: self.center_input,
            classes: self.classes,
            ..InputSpec::images(self.channels)
        };
        let width = self.embedding();
        let classes = |rows| match self.class_embedding {
            ClassEmbedding::Table => ClassSpec::Table { key: "class_embedding", rows, width },
            ClassEmbedding::Timestep => {
                ClassSpec::Sinusoidal(self.sinusoidal_embedding("class_embedding"))
            }
        };
        UnetSpec {
            inputs,
            timestep: Some(self.sinusoidal_embedding("time_embedding")),
            interval: None,
            classes: self.classes.map(classes),
            encoder: self.encoder()?,
            middle: self.middle()?,
            decoder: self.decoder()?,
            head: self.head(),
            checkpoint: self.checkpoint,
            first_conv_first: true,
        }
        .validated()
    }

    /// diffusers' TimestepEmbedding.
    fn sinusoidal_embedding(&self, scope: &'static str) -> EmbeddingSpec {
        let (features, width) = (self.features[0], self.embedding());
        EmbeddingSpec {
            sinusoids: Sinusoids::Diffusers {
                width: features,
                cosine_first: self.cosine_first,
                shift: self.frequency_shift,
            },
            scope,
            keys: ["linear_1", "linear_2"],
            widths: [features, width, width],
        }
    }

    fn head(&self) -> HeadSpec {
        HeadSpec {
            norm_key: "conv_norm_out",
            norm: self.norm(),
            activation: Some(Activation::Silu), // whatever `activation` is
            conv_key: "conv_out",
            conv: ConvConfig::same(self.features[0], self.outputs, 3),
            zero: false,
        }
    }

    fn encoder(&self) -> Result<Vec<StageSpec>, ConfigError> {
        let first = LayerConfig::Conv(ConvConfig::same(self.channels, self.features[0], 3));
        let mut stages = vec![StageSpec::plain("conv_in", vec![("conv_in".to_string(), first)])];
        let mut channels = self.features[0];
        for (level, &outputs) in self.features.iter().enumerate() {
            let (block, attends) = (format!("down_blocks.{level}"), self.down_attention[level]);
            for layer in 0..self.blocks {
                let layers = self.pair(&block, layer, channels, outputs, attends)?;
                stages.push(StageSpec::plain(format!("{block}.{layer}"), layers));
                channels = outputs;
            }
            if level + 1 < self.features.len() {
                let key = format!("{block}.downsamplers.0");
                let resblock = if attends { self.resblock_down } else { self.plain_resblock_down };
                let layer = if resblock {
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
                stages.push(StageSpec::plain(key, vec![layer]));
            }
        }
        Ok(stages)
    }

    fn middle(&self) -> Result<Vec<StageSpec>, ConfigError> {
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
        Ok(vec![StageSpec::plain("mid_block", layers)])
    }

    fn decoder(&self) -> Result<Vec<StageSpec>, ConfigError> {
        let widths: Vec<i64> = self.features.iter().rev().copied().collect();
        let mut stages = Vec::new();
        let mut channels = widths[0];
        for (level, &outputs) in widths.iter().enumerate() {
            let (block, attends) = (format!("up_blocks.{level}"), self.up_attention[level]);
            let next = widths[(level + 1).min(widths.len() - 1)];
            for layer in 0..=self.blocks {
                let skip = if layer == self.blocks { next } else { outputs };
                let layers = self.pair(&block, layer, channels + skip, outputs, attends)?;
                stages.push(StageSpec::with_skip(format!("{block}.{layer}"), layers));
                channels = outputs;
            }
            if level + 1 < widths.len() {
                let key = format!("{block}.upsamplers.0");
                let resblock = if attends { self.resblock_up } else { self.plain_resblock_up };
                let layer = if resblock {
                    let resample = Resample::Double;
                    (
                        key.clone(),
                        LayerConfig::Res(ResBlockConfig { resample, ..self.res(outputs, outputs) }),
                    )
                } else {
                    (format!("{key}.conv"), LayerConfig::Up(ResampleConfig::learned(outputs)))
                };
                stages.push(StageSpec::plain(key, vec![layer]));
            }
        }
        Ok(stages)
    }

    /// A residual block, followed by self-attention if the level has it.
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
