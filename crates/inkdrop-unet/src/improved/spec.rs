//! The layers of improved-diffusion's U-Net and of its super-resolution form.

use inkdrop_nn::{
    Activation, AttentionConfig, ConvConfig, HeadOrder, LayerConfig, NormConfig, Params,
    Projection, ResBlockConfig, Resample, ResampleConfig,
};
use inkdrop_torch::tch::{Device, Kind};

use super::{AttentionOrder, ImprovedConfig};
use crate::inputs::InputSpec;
use crate::spec::{ClassSpec, EmbeddingSpec, HeadSpec, Sinusoids, StageSpec, UnetSpec};
use crate::{BuildError, ConfigError, Unet};

type Layers = Vec<(String, LayerConfig)>;

impl ImprovedConfig {
    /// The network with PyTorch's default initialisation, in improved-diffusion's order.
    ///
    /// - dtype: `Float` or `Double`; `BFloat16` or `Half` for mixed precision
    ///
    /// # Errors
    /// An invalid config, or libtorch cannot allocate the network.
    pub fn build(&self, dtype: Kind, device: Device) -> Result<Unet, BuildError> {
        Ok(Unet::new(&self.spec(false)?, Params::new(dtype, device))?)
    }

    /// The super-resolution network (improved-diffusion's SuperResModel). It takes
    /// [`Conditioning::low_res`](inkdrop_nn::Conditioning::low_res), upsamples it and concatenates it
    /// with x.
    ///
    /// # Errors
    /// As [`ImprovedConfig::build`].
    pub fn build_super_res(&self, dtype: Kind, device: Device) -> Result<Unet, BuildError> {
        Ok(Unet::new(&self.spec(true)?, Params::new(dtype, device))?)
    }

    /// # Errors
    /// The invalid field.
    pub(crate) fn spec(&self, low_res: bool) -> Result<UnetSpec, ConfigError> {
        self.check()?;
        let inputs = InputSpec {
            dims: self.dims,
            classes: self.classes,
            low_res,
            ..InputSpec::images(self.channels)
        };
        let width = self.embedding();
        let (encoder, channels, skips) = self.encoder(inputs.network_channels())?;
        UnetSpec {
            inputs,
            timestep: Some(EmbeddingSpec {
                sinusoids: Sinusoids::Improved { width: self.features },
                scope: "time_embed",
                keys: ["0", "2"],
                widths: [self.features, width, width],
            }),
            interval: None,
            classes: self.classes.map(|rows| ClassSpec::Table { key: "label_emb", rows, width }),
            encoder,
            middle: vec![self.middle(channels)?],
            decoder: self.decoder(channels, skips)?,
            head: self.head(),
            checkpoint: self.checkpoint,
            first_conv_first: false,
        }
        .validated()
    }

    fn middle(&self, channels: i64) -> Result<StageSpec, ConfigError> {
        let layers = vec![
            self.res(channels, channels, Resample::Keep),
            self.attention(channels, self.heads)?,
            self.res(channels, channels, Resample::Keep),
        ];
        let layers = layers.into_iter().enumerate();
        let layers = layers.map(|(i, layer)| (format!("middle_block.{i}"), layer));
        Ok(StageSpec::plain("middle_block", layers.collect()))
    }

    fn head(&self) -> HeadSpec {
        HeadSpec {
            norm_key: "out.0",
            norm: NormConfig::groups(32),
            activation: Some(Activation::Silu),
            conv_key: "out.2",
            conv: ConvConfig::same(self.level(0), self.outputs, 3).over(self.dims),
            zero: true,
        }
    }

    /// The encoder, the channels of its output, and those of all skip connections.
    fn encoder(&self, inputs: i64) -> Result<(Vec<StageSpec>, i64, Vec<i64>), ConfigError> {
        let mut channels = self.level(0);
        let first = ConvConfig::same(inputs, channels, 3).over(self.dims);
        let mut stages = vec![stage("input_blocks", 0, vec![LayerConfig::Conv(first)], false)];
        let mut skips = vec![channels];
        for level in 0..self.multipliers.len() {
            for _ in 0..self.blocks {
                let outputs = self.level(level);
                let mut layers = vec![self.res(channels, outputs, Resample::Keep)];
                channels = outputs;
                if self.attends(level) {
                    layers.push(self.attention(channels, self.heads)?);
                }
                stages.push(stage("input_blocks", stages.len(), layers, false));
                skips.push(channels);
            }
            if level + 1 < self.multipliers.len() {
                let layer = match self.resblock_updown {
                    true => self.res(channels, channels, Resample::Halve),
                    false => LayerConfig::Down(self.resample(channels)),
                };
                stages.push(stage("input_blocks", stages.len(), vec![layer], false));
                skips.push(channels);
            }
        }
        Ok((stages, channels, skips))
    }

    fn decoder(
        &self,
        mut channels: i64,
        mut skips: Vec<i64>,
    ) -> Result<Vec<StageSpec>, ConfigError> {
        let heads = self.heads_upsample.unwrap_or(self.heads);
        let mut stages = Vec::new();
        for level in (0..self.multipliers.len()).rev() {
            for block in 0..=self.blocks {
                let inputs = channels + skips.pop().unwrap_or(0);
                channels = self.level(level);
                let mut layers = vec![self.res(inputs, channels, Resample::Keep)];
                if self.attends(level) {
                    layers.push(self.attention(channels, heads)?);
                }
                if level > 0 && block == self.blocks {
                    layers.push(match self.resblock_updown {
                        true => self.res(channels, channels, Resample::Double),
                        false => LayerConfig::Up(self.resample(channels)),
                    });
                }
                stages.push(stage("output_blocks", stages.len(), layers, true));
            }
        }
        Ok(stages)
    }

    fn attends(&self, level: usize) -> bool {
        self.attention.contains(&(1i64 << level))
    }

    fn res(&self, inputs: i64, outputs: i64, resample: Resample) -> LayerConfig {
        LayerConfig::Res(ResBlockConfig {
            dims: self.dims,
            scale_shift: self.scale_shift,
            dropout: self.dropout,
            resample,
            ..ResBlockConfig::improved(inputs, outputs, self.embedding())
        })
    }

    fn attention(&self, channels: i64, heads: i64) -> Result<LayerConfig, ConfigError> {
        let heads = match self.head_channels {
            None => heads,
            Some(width) if channels % width == 0 => channels / width,
            Some(width) => {
                let problem = format!("does not divide {channels} channels");
                return Err(ConfigError::field("head_channels", width, problem));
            }
        };
        let order = match self.attention_order {
            AttentionOrder::Legacy => HeadOrder::HeadsFirst,
            AttentionOrder::New => HeadOrder::PartsFirst,
        };
        let projection = Projection::Fused { dims: 1, order };
        let config = AttentionConfig { projection, ..AttentionConfig::improved(channels, heads) };
        Ok(LayerConfig::Attention(config))
    }

    fn resample(&self, channels: i64) -> ResampleConfig {
        let learned = self.learned_resample;
        ResampleConfig { dims: self.dims, learned, ..ResampleConfig::learned(channels) }
    }
}

/// A stage with numbered layers; resampling layers have one more part in their names.
fn stage(list: &str, number: usize, layers: Vec<LayerConfig>, takes_skip: bool) -> StageSpec {
    let name = format!("{list}.{number}");
    let key = |(i, layer): (usize, LayerConfig)| {
        let end = match layer {
            LayerConfig::Down(_) => ".op",
            LayerConfig::Up(_) => ".conv",
            _ => "",
        };
        (format!("{name}.{i}{end}"), layer)
    };
    let layers: Layers = layers.into_iter().enumerate().map(key).collect();
    StageSpec { name, layers, takes_skip }
}
