//! The layers of nanodiffusion's U-Net.

use inkdrop_nn::{
    AttentionConfig, ConvConfig, LayerConfig, NormConfig, Params, ResBlockConfig, ResampleConfig,
};
use inkdrop_torch::tch::{Device, Kind};

use super::DdpmConfig;
use crate::inputs::InputSpec;
use crate::spec::{ClassSpec, EmbeddingSpec, HeadSpec, Sinusoids, StageSpec, UnetSpec};
use crate::{BuildError, ConfigError, Unet};

impl DdpmConfig {
    /// The network with PyTorch's default initialisation, in nanodiffusion's order.
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
        let (encoder, channels, skips) = self.encoder();
        let middle = [
            self.res("mid.0", channels, channels, true),
            self.res("mid.1", channels, channels, false),
        ];
        let inputs = InputSpec {
            padding: self.padding,
            classes: self.classes,
            interval: self.interval,
            ..InputSpec::images(self.channels)
        };
        UnetSpec {
            inputs,
            timestep: self.time_features.map(|width| self.timestep(width)),
            interval: self.interval.then(|| self.interval_embedding()),
            classes: self.classes.map(|_| ClassSpec::PerBlock),
            encoder,
            middle: vec![StageSpec::plain("mid", middle.concat())],
            decoder: self.decoder(channels, skips),
            head: self.head(),
            checkpoint: self.checkpoint,
            first_conv_first: false,
        }
        .validated()
    }

    fn timestep(&self, width: i64) -> EmbeddingSpec {
        EmbeddingSpec {
            sinusoids: Sinusoids::Nanodiffusion { width: self.features, scale: self.time_scale },
            scope: "time_mlp",
            keys: ["1", "3"],
            widths: [self.features, width, width],
        }
    }

    /// Like that of a timestep, with names of its own.
    fn interval_embedding(&self) -> EmbeddingSpec {
        EmbeddingSpec {
            scope: "interval_mlp",
            ..self.timestep(self.time_features.unwrap_or(self.features))
        }
    }

    fn head(&self) -> HeadSpec {
        HeadSpec {
            norm_key: "out_norm",
            norm: self.norm(),
            activation: Some(self.activation),
            conv_key: "out_conv",
            conv: ConvConfig::same(self.features, self.channels, 3),
            zero: false,
        }
    }

    /// The encoder, the channels of its output, and those of all skip connections.
    fn encoder(&self) -> (Vec<StageSpec>, i64, Vec<i64>) {
        let first = LayerConfig::Conv(ConvConfig::same(self.channels, self.features, 3));
        let mut stages =
            vec![StageSpec::plain("init_conv", vec![("init_conv".to_string(), first)])];
        let (mut channels, mut skips) = (self.features, vec![self.features]);
        let mut push =
            |stages: &mut Vec<StageSpec>, layers: Vec<(String, LayerConfig)>, channels| {
                stages.push(StageSpec::plain(format!("downs.{}", stages.len() - 1), layers));
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

    fn decoder(&self, mut channels: i64, mut skips: Vec<i64>) -> Vec<StageSpec> {
        let mut stages = Vec::new();
        for (level, multiplier) in self.multipliers.iter().enumerate().rev() {
            let outputs = self.features * multiplier;
            for _ in 0..=self.blocks {
                let key = format!("ups.{}", stages.len());
                let inputs = channels + skips.pop().unwrap_or(0);
                let layers = self.res(&key, inputs, outputs, self.attends(level));
                stages.push(StageSpec::with_skip(key, layers));
                channels = outputs;
            }
            if level > 0 {
                let key = format!("ups.{}", stages.len());
                let up = LayerConfig::Up(ResampleConfig::learned(channels));
                stages.push(StageSpec::plain(&key, vec![(format!("{key}.upsample.1"), up)]));
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

    /// A residual block, followed by self-attention if the level has it.
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
