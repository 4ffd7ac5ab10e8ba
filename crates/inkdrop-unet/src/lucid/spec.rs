//! The layers of lucidrains' U-Nets.

use inkdrop_nn::{
    ConvConfig, LayerConfig, MemoryAttentionConfig, MemoryAttentionKeys, NormConfig, Params,
    ResBlockConfig,
};
use inkdrop_torch::tch::{Device, Kind};

use super::LucidConfig;
use crate::inputs::InputSpec;
use crate::spec::{
    ClassSpec, EmbeddingSpec, HeadSpec, JoinedClassSpec, Sinusoids, StageSpec, UnetSpec,
};
use crate::{BuildError, ConfigError, Unet};

/// Learned keys and values of each attention (`num_mem_kv`).
const MEMORY: i64 = 4;

/// Heads and their channels in the linear attention of the older layout.
const OLDER_HEADS: (i64, i64) = (4, 32);

impl LucidConfig {
    /// The network with PyTorch's default initialisation, in the original's order.
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
            dims: self.dims,
            classes: self.classes.map(|classes| classes + 1), // the null class
            self_condition: self.self_condition,
            ..InputSpec::images(self.channels)
        };
        let first = self.widths()[0];
        let conv = ConvConfig::same(inputs.network_channels(), first, 7).over(self.dims);
        let mut encoder =
            vec![stage("init_conv", vec![("init_conv".into(), LayerConfig::Conv(conv))])];
        encoder.extend(self.encoder());
        let mut decoder = self.decoder();
        let last = self.res(2 * first, first);
        decoder
            .push(StageSpec::with_skip("final_res_block", vec![("final_res_block".into(), last)]));
        UnetSpec {
            inputs,
            timestep: Some(self.timestep()),
            interval: None,
            classes: self.classes.map(|rows| self.class(rows)),
            encoder,
            middle: self.middle(),
            decoder,
            head: self.head(first),
            checkpoint: self.checkpoint,
            first_conv_first: true,
        }
        .validated()
    }

    /// Width of the timestep embedding, and of the class embedding.
    fn embedding(&self) -> i64 {
        4 * self.features
    }

    fn timestep(&self) -> EmbeddingSpec {
        let (sinusoids, inputs) = match self.fourier_features {
            Some(width) => {
                let (key, trained) = ("0.weights", !self.random_fourier);
                (Sinusoids::Fourier { key, frequencies: width / 2, trained }, width + 1)
            }
            None => (Sinusoids::Lucid { width: self.features, theta: self.theta }, self.features),
        };
        let width = self.embedding();
        let keys = ["1", "3"];
        EmbeddingSpec { sinusoids, scope: "time_mlp", keys, widths: [inputs, width, width] }
    }

    fn class(&self, rows: i64) -> ClassSpec {
        let width = self.embedding();
        ClassSpec::Joined(JoinedClassSpec {
            table: "classes_emb",
            null: "null_classes_emb",
            mlp: "classes_mlp",
            rows,
            widths: [self.features, width, width],
        })
    }

    /// Two blocks and an attention for each stage, all at the width of its input, then its downsampling,
    /// which is the first layer of what follows.
    fn encoder(&self) -> Vec<StageSpec> {
        let widths = self.widths();
        let mut stages = Vec::new();
        let mut down = Vec::new();
        for (i, pair) in widths.windows(2).enumerate() {
            let width = pair[0];
            let mut first = std::mem::take(&mut down);
            first.push((format!("downs.{i}.0"), self.res(width, width)));
            stages.push(stage(format!("downs.{i}.0"), first));
            let second = vec![
                (format!("downs.{i}.1"), self.res(width, width)),
                (format!("downs.{i}.2"), self.attention(width, i)),
            ];
            stages.push(stage(format!("downs.{i}.1"), second));
            if i + 1 < self.multipliers.len() {
                down = self.halving(&format!("downs.{i}.3"), width, pair[1]);
            }
        }
        stages
    }

    /// The last stage's convolution, then block, full attention, block.
    fn middle(&self) -> Vec<StageSpec> {
        let widths = self.widths();
        let last = self.multipliers.len() - 1;
        let (before, width) = (widths[last], widths[last + 1]);
        let key = format!("downs.{last}.3");
        let attention = LayerConfig::MemoryAttention(MemoryAttentionConfig {
            linear: false,
            ..self.attention_config(width, last, self.heads_at(last))
        });
        vec![
            stage(key.clone(), vec![(key, self.conv(before, width))]),
            stage("mid_block1", vec![("mid_block1".into(), self.res(width, width))]),
            stage("mid_attn", vec![("mid_attn".into(), attention)]),
            stage("mid_block2", vec![("mid_block2".into(), self.res(width, width))]),
        ]
    }

    fn decoder(&self) -> Vec<StageSpec> {
        let widths = self.widths();
        let mut stages = Vec::new();
        for (number, i) in (0..self.multipliers.len()).rev().enumerate() {
            let (skip, width) = (widths[i], widths[i + 1]);
            let block = || self.res(width + skip, width);
            let first = format!("ups.{number}.0");
            stages.push(StageSpec::with_skip(first.clone(), vec![(first, block())]));
            let mut second = vec![
                (format!("ups.{number}.1"), block()),
                (format!("ups.{number}.2"), self.attention(width, i)),
            ];
            let key = format!("ups.{number}.3");
            if i > 0 {
                second.push((format!("{key}.0"), LayerConfig::Double));
                second.push((format!("{key}.1"), self.conv(width, skip)));
            } else {
                second.push((key, self.conv(width, skip)));
            }
            stages.push(StageSpec::with_skip(format!("ups.{number}.1"), second));
        }
        stages
    }

    fn head(&self, inputs: i64) -> HeadSpec {
        HeadSpec {
            norm_key: "final_conv",
            norm: NormConfig::none(),
            activation: None,
            conv_key: "final_conv",
            conv: ConvConfig::same(inputs, self.outputs, 1).over(self.dims),
            zero: false,
        }
    }

    fn res(&self, inputs: i64, outputs: i64) -> LayerConfig {
        let times = if self.classes.is_some() { 2 } else { 1 }; // the class embedding beside that of t
        let embedding = times * self.embedding();
        let base = ResBlockConfig::lucid(self.dims, inputs, outputs, embedding);
        LayerConfig::Res(ResBlockConfig { dropout: self.dropout, ..base })
    }

    fn attention(&self, channels: i64, stage: usize) -> LayerConfig {
        let heads = if self.is_older() { OLDER_HEADS } else { self.heads_at(stage) };
        LayerConfig::MemoryAttention(self.attention_config(channels, stage, heads))
    }

    fn attention_config(
        &self,
        channels: i64,
        stage: usize,
        (heads, head_channels): (i64, i64),
    ) -> MemoryAttentionConfig {
        let (memory, keys) = match self.is_older() {
            true => (0, MemoryAttentionKeys::WRAPPED),
            false => (MEMORY, MemoryAttentionKeys::PLAIN),
        };
        let (dims, linear) = (self.dims, !self.is_full(stage));
        MemoryAttentionConfig { dims, channels, heads, head_channels, linear, memory, keys }
    }

    fn conv(&self, inputs: i64, outputs: i64) -> LayerConfig {
        LayerConfig::Conv(ConvConfig::same(inputs, outputs, 3).over(self.dims))
    }

    /// Space-to-depth and a 1×1 convolution; in the older layout a 4-wide convolution of stride 2.
    fn halving(&self, key: &str, inputs: i64, outputs: i64) -> Vec<(String, LayerConfig)> {
        if self.is_older() {
            let same = ConvConfig::same(inputs, outputs, 4).over(self.dims);
            let conv = ConvConfig { strides: [2; 3], padding: 1, ..same };
            return vec![(key.to_string(), LayerConfig::Conv(conv))];
        }
        let conv = LayerConfig::Conv(ConvConfig::same(4 * inputs, outputs, 1));
        vec![(format!("{key}.0"), LayerConfig::Unshuffle), (format!("{key}.1"), conv)]
    }
}

fn stage(name: impl Into<String>, layers: Vec<(String, LayerConfig)>) -> StageSpec {
    StageSpec::plain(name, layers)
}
