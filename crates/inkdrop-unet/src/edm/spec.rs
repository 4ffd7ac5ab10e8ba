//! The layers of EDM's U-Nets, without a tensor, and their plan.

use inkdrop_nn::{
    AttentionConfig, AttentionKeys, ConvConfig, FilterTaps, HeadOrder, LayerConfig, NormConfig,
    Projection, ResBlockConfig, ResBlockKeys, Resample,
};

use super::{EdmArchitecture, EdmConfig, EdmDecoder, EdmEncoder};
use crate::inputs::InputSpec;
use crate::plan::{CostModel, Plan, Planner, Stage, stage};
use crate::spec::{StageSpec, check_norm};
use crate::{ConfigError, ImageSize};

/// The layers between the embedding and the output.
#[derive(Debug, Clone)]
pub(super) struct EdmSpec {
    pub inputs: InputSpec,
    pub encoder: Vec<EncoderSpec>,
    pub decoder: Vec<DecoderSpec>,
    pub checkpoint: bool,
}

/// Layers that end in a skip connection.
#[derive(Debug, Clone)]
pub(super) struct EncoderSpec {
    pub stage: StageSpec,
    /// What the image adds at their end.
    pub image: Option<ImageSpec>,
}

/// What the image adds to the encoder.
#[derive(Debug, Clone)]
pub(super) enum ImageSpec {
    /// A projection of the downsampled image.
    Skip { down: String, key: String, conv: ConvConfig, filter: FilterTaps },
    /// A convolution of the image with downsampling after it.
    Residual { key: String, conv: ConvConfig, filter: FilterTaps },
}

/// Layers of the decoder.
#[derive(Debug, Clone)]
pub(super) struct DecoderSpec {
    pub stage: StageSpec,
    pub output: Option<OutputSpec>,
}

/// An output of the decoder: convolution of the activated norm.
#[derive(Debug, Clone)]
pub(super) struct OutputSpec {
    pub norm_key: String,
    pub norm: NormConfig,
    pub key: String,
    pub conv: ConvConfig,
    /// The sum of the outputs before, upsampled by this layer, is added.
    pub up: Option<(String, FilterTaps)>,
}

/// Attention of one level of the decoder.
enum Attends {
    LastBlock,
    EveryBlock,
}

impl EdmConfig {
    /// # Errors
    /// The invalid field.
    pub(super) fn spec(&self) -> Result<EdmSpec, ConfigError> {
        self.check()?;
        let (encoder, channels, skips) = self.encoder();
        let spec = EdmSpec {
            inputs: InputSpec {
                multiple: 1 << (self.multipliers.len() - 1),
                classes: self.classes.map(|classes| classes + 1),
                augment: self.augment,
                ..InputSpec::images(self.channels)
            },
            encoder,
            decoder: self.decoder(channels, skips),
            checkpoint: self.checkpoint,
        };
        spec.encoder.iter().try_for_each(|encoder| encoder.stage.check())?;
        for DecoderSpec { stage, output } in &spec.decoder {
            stage.check()?;
            if let Some(OutputSpec { norm_key, norm, conv, .. }) = output {
                check_norm(norm_key, *norm, conv.inputs)?;
            }
        }
        Ok(spec)
    }

    /// Checks the fields and all layers.
    pub(crate) fn check_layers(&self) -> Result<(), ConfigError> {
        self.spec().map(drop)
    }

    fn side(&self, level: usize) -> i64 {
        self.size >> level
    }

    fn filter(&self) -> FilterTaps {
        self.song().map_or(FilterTaps::Box, |song| song.filter)
    }

    /// At most 32 groups of at least 4 channels.
    fn norm(&self) -> NormConfig {
        let eps = if self.song().is_some() { 1e-6 } else { 1e-5 };
        NormConfig { group_width: 4, eps, ..NormConfig::groups(32) }
    }

    /// The encoder, the channels of its output, and those of all skip connections.
    fn encoder(&self) -> (Vec<EncoderSpec>, i64, Vec<i64>) {
        let (mut stages, mut skips) = (Vec::new(), Vec::new());
        let (mut channels, mut image) = (self.channels, self.channels);
        for (level, multiplier) in self.multipliers.iter().enumerate() {
            let side = self.side(level);
            let key = |name: &str| format!("enc.{side}x{side}_{name}");
            if level == 0 {
                // SongUNet's first convolution has `features` channels at any multiplier.
                let outputs =
                    self.features * if self.song().is_some() { 1 } else { self.multipliers[0] };
                let conv = LayerConfig::Conv(ConvConfig::same(channels, outputs, 3));
                let stage = StageSpec::plain(key("conv"), vec![(key("conv"), conv)]);
                stages.push(EncoderSpec { stage, image: None });
                channels = outputs;
            } else {
                let layers = self.block(&key("down"), [channels; 2], Resample::Halve, false);
                let image = self.image(side, &mut image, channels);
                stages.push(EncoderSpec { stage: StageSpec::plain(key("down"), layers), image });
            }
            skips.push(channels);
            for block in 0..self.blocks {
                let (key, outputs) = (key(&format!("block{block}")), self.features * multiplier);
                let layers =
                    self.block(&key, [channels, outputs], Resample::Keep, self.attends(side));
                stages.push(EncoderSpec { stage: StageSpec::plain(key, layers), image: None });
                channels = outputs;
                skips.push(channels);
            }
        }
        (stages, channels, skips)
    }

    /// What the image adds at the beginning of a level.
    ///
    /// - image: its channels, which change with a residual encoder
    fn image(&self, side: i64, image: &mut i64, channels: i64) -> Option<ImageSpec> {
        let filter = self.filter();
        let key = |name: &str| format!("enc.{side}x{side}_{name}");
        match self.song()?.encoder {
            EdmEncoder::Standard => None,
            EdmEncoder::Skip => {
                let conv = ConvConfig::same(*image, channels, 1);
                Some(ImageSpec::Skip { down: key("aux_down"), key: key("aux_skip"), conv, filter })
            }
            EdmEncoder::Residual => {
                let same = ConvConfig::same(*image, channels, 3);
                // The filter's padding comes before the convolution.
                let padding = same.padding + (filter.taps().len() as i64 - 1) / 2;
                *image = channels;
                let conv = ConvConfig { padding, ..same };
                Some(ImageSpec::Residual { key: key("aux_residual"), conv, filter })
            }
        }
    }

    fn decoder(&self, mut channels: i64, mut skips: Vec<i64>) -> Vec<DecoderSpec> {
        let mut stages = Vec::new();
        let deepest = self.multipliers.len() - 1;
        let attention = match self.architecture {
            EdmArchitecture::Song(_) => Attends::LastBlock,
            EdmArchitecture::Dhariwal => Attends::EveryBlock,
        };
        for (level, multiplier) in self.multipliers.iter().enumerate().rev() {
            let side = self.side(level);
            let key = |name: &str| format!("dec.{side}x{side}_{name}");
            let mut push = |stage| stages.push(DecoderSpec { stage, output: None });
            let mut plain = |name: &str, resample, attends| {
                let layers = self.block(&key(name), [channels; 2], resample, attends);
                push(StageSpec::plain(key(name), layers));
            };
            if level == deepest {
                plain("in0", Resample::Keep, true);
                plain("in1", Resample::Keep, false);
            } else {
                plain("up", Resample::Double, false);
            }
            for block in 0..=self.blocks {
                let key = key(&format!("block{block}"));
                let (inputs, outputs) =
                    (channels + skips.pop().unwrap_or(0), self.features * multiplier);
                let here = matches!(attention, Attends::EveryBlock) || block == self.blocks;
                let attends = here && self.attends(side);
                let layers = self.block(&key, [inputs, outputs], Resample::Keep, attends);
                push(StageSpec::with_skip(key, layers));
                channels = outputs;
            }
            if let Some(last) = stages.last_mut() {
                last.output = self.output(level, channels);
            }
        }
        stages
    }

    /// The output at the end of a level of the decoder.
    fn output(&self, level: usize, channels: i64) -> Option<OutputSpec> {
        let (norm, conv) = (self.norm(), ConvConfig::same(channels, self.outputs, 3));
        let Some(song) = self.song() else {
            let (norm_key, key) = ("out_norm".to_string(), "out_conv".to_string());
            return (level == 0).then_some(OutputSpec { norm_key, norm, key, conv, up: None });
        };
        let (skip, side) = (song.decoder == EdmDecoder::Skip, self.side(level));
        let key = |name: &str| format!("dec.{side}x{side}_{name}");
        let up = skip && level + 1 < self.multipliers.len();
        let up = up.then(|| (key("aux_up"), song.filter));
        let (norm_key, key) = (key("aux_norm"), key("aux_conv"));
        (skip || level == 0).then_some(OutputSpec { norm_key, norm, key, conv, up })
    }

    fn attends(&self, side: i64) -> bool {
        self.attention.contains(&side)
    }

    /// A residual block, followed by self-attention if it attends.
    fn block(
        &self,
        key: &str,
        [inputs, outputs]: [i64; 2],
        resample: Resample,
        attends: bool,
    ) -> Vec<(String, LayerConfig)> {
        let song = self.song().is_some();
        let block = ResBlockConfig {
            resample,
            dropout: self.dropout,
            ..unet_block(inputs, outputs, self.embedding(), song)
        };
        let block = ResBlockConfig { norm: self.norm(), filter: Some(self.filter()), ..block };
        // DhariwalUNet has heads of 64 channels, and no attention below.
        let heads = if song { 1 } else { outputs / 64 };
        let attention = unet_attention(outputs, heads, &block);
        let mut layers = vec![(key.to_string(), LayerConfig::Res(block))];
        if attends && heads > 0 {
            layers.push((key.to_string(), LayerConfig::Attention(attention)));
        }
        layers
    }

    /// The cost of the network, for an image of this size.
    pub(crate) fn plan_at(&self, size: &[i64]) -> Result<Plan, ConfigError> {
        let spec = self.spec()?;
        spec.check_size(size)?;
        let mut planner = Planner::new(self.channels, size, self.checkpoint);
        let mut stages = vec![self.embedding_stage()];
        let mut image = (self.channels, planner.model.size.clone());
        for EncoderSpec { stage, image: add } in &spec.encoder {
            stages.push(planner.stage_and(stage, |model| {
                if let Some(add) = add {
                    image = cost_of_image(model, add, &image);
                }
            }));
            planner.push_skip();
        }
        for DecoderSpec { stage, output } in &spec.decoder {
            stages.push(planner.stage(stage));
            if let Some(output) = output {
                let channels = planner.model.channels;
                let head = StageSpec::plain(output.key.clone(), Vec::new());
                stages.push(planner.stage_and(&head, |model| {
                    model.norm(output.norm);
                    model.activation();
                    model.conv(&output.conv);
                }));
                let last = std::ptr::eq(stage, &spec.decoder[spec.decoder.len() - 1].stage);
                if !last {
                    planner.model.channels = channels;
                }
            }
        }
        Ok(Plan::new(stages))
    }

    fn embedding_stage(&self) -> Stage {
        let (noise, embedding) = (self.noise_features(), self.embedding());
        let mut model = CostModel::new(noise, Vec::new());
        let label = if self.song().is_some() { noise } else { embedding };
        if let Some(classes) = self.classes {
            model.linear(classes, label);
            if self.song().is_none() {
                model.add(-label, 0, 0); // without a bias
            }
        }
        if let Some(labels) = self.augment {
            model.linear(labels, noise);
            model.add(-noise, 0, 0);
        }
        model.linear(noise, embedding);
        model.linear(embedding, embedding);
        stage("map", "linear · linear".to_string(), vec![embedding], model.cost)
    }
}

impl EdmSpec {
    /// Checks that an image of this size is divisible by all downsamplings.
    fn check_size(&self, size: &[i64]) -> Result<(), ConfigError> {
        let &[height, width] = size else {
            let problem = format!("has {} axes, the network runs over 2", size.len());
            return Err(ConfigError::field("size", crate::size::product(size), problem));
        };
        let multiple = self.inputs.multiple;
        for axis in [height, width] {
            ConfigError::within("size", axis, 1, 1 << 20)?;
            if axis % multiple != 0 {
                let problem = format!("cannot be halved: expected a multiple of {multiple}");
                let size = ImageSize { height, width };
                return Err(ConfigError::field("size", size, problem));
            }
        }
        Ok(())
    }
}

/// EDM's UNetBlock without its attention, with the options that SongUNet or DhariwalUNet gives it.
pub(super) fn unet_block(inputs: i64, outputs: i64, embedding: i64, song: bool) -> ResBlockConfig {
    ResBlockConfig {
        activated_embedding: true,
        scale_shift: !song,
        skip_resampled: song,
        divisor: if song { 2f64.sqrt() } else { 1.0 },
        zero_out: false, // see `initialization`
        keys: ResBlockKeys::EDM,
        ..ResBlockConfig::improved(inputs, outputs, embedding)
    }
}

/// The attention of EDM's UNetBlock.
fn unet_attention(channels: i64, heads: i64, block: &ResBlockConfig) -> AttentionConfig {
    AttentionConfig {
        norm: block.norm,
        projection: Projection::Fused { dims: 2, order: HeadOrder::PartsLast },
        zero_out: false,
        divisor: block.divisor,
        keys: AttentionKeys::EDM,
        ..AttentionConfig::improved(channels, heads)
    }
}

/// Adds the cost of what the image adds; returns the channels and the size of the next one.
fn cost_of_image(
    model: &mut CostModel,
    spec: &ImageSpec,
    (channels, size): &(i64, Vec<i64>),
) -> (i64, Vec<i64>) {
    let (out, half) = (model.channels, model.size.clone());
    model.channels = *channels;
    let image = match spec {
        ImageSpec::Skip { conv, .. } => {
            model.conv(conv);
            (*channels, half.clone())
        }
        ImageSpec::Residual { conv, .. } => {
            model.size.clone_from(size);
            model.conv(conv);
            (out, half.clone())
        }
    };
    (model.channels, model.size) = (out, half);
    image
}
