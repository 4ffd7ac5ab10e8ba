//! Which block stands where in improved-diffusion's U-Net.

use inkdrop_nn::{
    Activation, AttentionConfig, ConvConfig, HeadOrder, LayerConfig, NormConfig, Projection,
    ResBlockConfig, Resample, ResampleConfig,
};

use super::{AttentionOrder, ImprovedConfig};
use crate::ConfigError;
use crate::backbone::{ClassLayout, HeadLayout, Layout, MlpLayout, StageLayout};

type Layers = Vec<(String, LayerConfig)>;

impl ImprovedConfig {
    /// - inputs: channels of what the first convolution sees
    ///
    /// # Errors
    /// The field that cannot be.
    pub(crate) fn layout(&self, inputs: i64) -> Result<Layout, ConfigError> {
        self.check()?;
        let width = self.embedding();
        let (down, channels, skips) = self.down(inputs)?;
        let middle = [
            ("middle_block.0".to_string(), self.res(channels, channels, Resample::Keep)),
            ("middle_block.1".to_string(), self.attention(channels, self.heads)?),
            ("middle_block.2".to_string(), self.res(channels, channels, Resample::Keep)),
        ];
        let layout = Layout {
            dims: self.dims,
            time: Some(MlpLayout {
                scope: "time_embed",
                keys: ["0", "2"],
                widths: [self.features, width, width],
            }),
            classes: self.classes.map(|rows| ClassLayout::Table { key: "label_emb", rows, width }),
            down,
            middle: vec![StageLayout::plain("middle_block", middle.to_vec())],
            up: self.up(channels, skips)?,
            head: HeadLayout {
                norm_key: "out.0",
                norm: NormConfig::groups(32),
                activation: Activation::Silu,
                conv_key: "out.2",
                conv: ConvConfig::same(self.level(0), self.outputs, 3).over(self.dims),
                zero: true,
            },
            first_conv_first: false,
        };
        layout.check()?;
        Ok(layout)
    }

    /// The way down; what is left at the bottom, and the channels of all skips.
    fn down(&self, inputs: i64) -> Result<(Vec<StageLayout>, i64, Vec<i64>), ConfigError> {
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

    fn up(&self, mut channels: i64, mut skips: Vec<i64>) -> Result<Vec<StageLayout>, ConfigError> {
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
        let projection = Projection::Joint { dims: 1, order };
        let config = AttentionConfig { projection, ..AttentionConfig::improved(channels, heads) };
        Ok(LayerConfig::Attention(config))
    }

    fn resample(&self, channels: i64) -> ResampleConfig {
        let learned = self.learned_resample;
        ResampleConfig { dims: self.dims, learned, ..ResampleConfig::learned(channels) }
    }
}

/// The layers of one block, numbered, with the last part of the name that resampling has.
fn stage(list: &str, number: usize, layers: Vec<LayerConfig>, takes_skip: bool) -> StageLayout {
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
    StageLayout { name, layers, takes_skip }
}
