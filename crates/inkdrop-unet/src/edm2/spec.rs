//! The blocks of EDM2's U-Net, without a tensor, and their plan.

use inkdrop_nn::Resample;

use super::Edm2Config;
use super::block::BlockSpec;
use crate::ConfigError;
use crate::inputs::InputSpec;
use crate::plan::{Cost, CostModel, Plan, Stage, stage};
use crate::size::product;

/// A block with its name, without the prefix of the U-Net.
#[derive(Debug, Clone)]
pub(super) struct NamedBlock {
    pub key: String,
    pub block: BlockSpec,
    /// A skip connection is concatenated to its input.
    pub takes_skip: bool,
}

impl Edm2Config {
    /// The name of the first convolution.
    pub(super) fn first_key(&self) -> String {
        format!("enc.{0}x{0}_conv", self.size)
    }

    /// Shapes of the inputs.
    pub(super) fn inputs(&self) -> InputSpec {
        InputSpec {
            multiple: 1 << (self.multipliers.len() - 1),
            classes: self.classes.map(|classes| classes + 1),
            ..InputSpec::images(self.channels)
        }
    }

    /// A block of the encoder that keeps the size and does not attend.
    fn block(&self, inputs: i64, outputs: i64) -> BlockSpec {
        BlockSpec {
            inputs,
            outputs,
            embedding: self.embedding(),
            encoder: true,
            resample: Resample::Keep,
            heads: 0,
            dropout: self.dropout,
            residual_balance: self.residual_balance,
            attention_balance: self.attention_balance,
            clip: self.clip,
        }
    }

    /// Number of heads of a block of this level.
    fn heads(&self, side: i64, channels: i64) -> i64 {
        if self.attention.contains(&side) { channels / self.head_channels } else { 0 }
    }

    /// The blocks of the encoder, which follow the first convolution.
    pub(super) fn encoder(&self) -> Vec<NamedBlock> {
        let mut blocks = Vec::new();
        let levels = self.level_channels();
        let mut channels = levels[0];
        for (level, &outputs) in levels.iter().enumerate() {
            let side = self.size >> level;
            let mut push = |name: &str, block| {
                let key = format!("enc.{side}x{side}_{name}");
                blocks.push(NamedBlock { key, block, takes_skip: false });
            };
            if level > 0 {
                let resample = Resample::Halve;
                push("down", BlockSpec { resample, ..self.block(channels, channels) });
            }
            for number in 0..self.blocks {
                let heads = self.heads(side, outputs);
                let block = BlockSpec { heads, ..self.block(channels, outputs) };
                push(&format!("block{number}"), block);
                channels = outputs;
            }
        }
        blocks
    }

    /// The blocks of the decoder.
    pub(super) fn decoder(&self) -> Vec<NamedBlock> {
        let levels = self.level_channels();
        let encoder = self.encoder();
        let mut skips = vec![levels[0]];
        skips.extend(encoder.iter().map(|named| named.block.outputs));
        let mut channels = skips[skips.len() - 1];
        let mut blocks = Vec::new();
        for (level, &outputs) in levels.iter().enumerate().rev() {
            let side = self.size >> level;
            let of = |inputs, outputs| BlockSpec { encoder: false, ..self.block(inputs, outputs) };
            let mut push = |name: &str, block, takes_skip| {
                let key = format!("dec.{side}x{side}_{name}");
                blocks.push(NamedBlock { key, block, takes_skip });
            };
            if level + 1 == levels.len() {
                let heads = channels / self.head_channels;
                push("in0", BlockSpec { heads, ..of(channels, channels) }, false);
                push("in1", of(channels, channels), false);
            } else {
                let resample = Resample::Double;
                push("up", BlockSpec { resample, ..of(channels, channels) }, false);
            }
            for number in 0..=self.blocks {
                let inputs = channels + skips.pop().unwrap_or(0);
                let block = BlockSpec { heads: self.heads(side, outputs), ..of(inputs, outputs) };
                push(&format!("block{number}"), block, true);
                channels = outputs;
            }
        }
        blocks
    }

    /// The cost of the network, for an image of this size.
    pub(crate) fn plan_at(&self, size: &[i64]) -> Result<Plan, ConfigError> {
        self.check()?;
        self.check_image(size)?;
        let mut planner = Planner::new(self, size);
        let mut stages = vec![self.embedding_stage()];
        stages.push(planner.conv(&self.first_key(), self.level_channels()[0]));
        planner.push_skip();
        for named in self.encoder() {
            stages.push(planner.block(&named));
            planner.push_skip();
        }
        stages.extend(self.decoder().iter().map(|named| planner.block(named)));
        stages.push(planner.conv("out_conv", self.channels));
        if let Some(last) = stages.last_mut() {
            last.parameters += 1; // out_gain
        }
        Ok(Plan::new(stages))
    }

    fn check_image(&self, size: &[i64]) -> Result<(), ConfigError> {
        if size.len() != 2 {
            let problem = format!("has {} axes, the network runs over 2", size.len());
            return Err(ConfigError::field("size", product(size), problem));
        }
        let multiple = self.inputs().multiple;
        for &axis in size {
            ConfigError::within("size", axis, 1, 1 << 20)?;
            if axis % multiple != 0 {
                let problem = format!("cannot be halved: expected a multiple of {multiple}");
                return Err(ConfigError::field("size", axis, problem));
            }
        }
        Ok(())
    }

    fn embedding_stage(&self) -> Stage {
        let embedding = self.embedding();
        let mut model = CostModel::new(self.noise_features(), Vec::new());
        for inputs in [Some(self.noise_features()), self.classes].into_iter().flatten() {
            model.add(inputs * embedding, inputs * embedding, inputs);
        }
        let logvar = self.logvar.unwrap_or(0);
        model.add(logvar, logvar, logvar);
        stage("emb", "linear".to_string(), vec![embedding], model.cost)
    }
}

/// Follows the data through the blocks.
struct Planner {
    model: CostModel,
    /// Channels and number of values of each skip connection that is still alive.
    skips: Vec<(i64, i64)>,
    checkpoint: bool,
}

impl Planner {
    fn new(config: &Edm2Config, size: &[i64]) -> Self {
        // A channel of ones follows those of the image.
        let model = CostModel::new(config.channels + 1, size.to_vec());
        Self { model, skips: Vec::new(), checkpoint: config.checkpoint }
    }

    fn push_skip(&mut self) {
        let channels = self.model.channels;
        self.skips.push((channels, self.model.values(channels)));
    }

    fn conv(&mut self, name: &str, outputs: i64) -> Stage {
        self.model.cost = Cost::default();
        mp_conv(&mut self.model, outputs, 3);
        self.finish(name, "conv".to_string())
    }

    fn block(&mut self, named: &NamedBlock) -> Stage {
        self.model.cost = Cost::default();
        if named.takes_skip
            && let Some((channels, _)) = self.skips.pop()
        {
            self.model.channels += channels;
        }
        let (input, spec) = (self.model.values(self.model.channels), named.block);
        cost_of_block(&mut self.model, &spec);
        if self.checkpoint {
            let inside = self.model.cost.kept;
            self.model.cost.again = input.saturating_add(inside);
            self.model.cost.kept = input;
        }
        let words = if spec.heads > 0 { "res · attention" } else { "res" };
        self.finish(&named.key, words.to_string())
    }

    fn finish(&self, name: &str, layers: String) -> Stage {
        let CostModel { size, channels, cost } = &self.model;
        let skips: i64 = self.skips.iter().fold(0, |sum, (_, values)| sum.saturating_add(*values));
        let output = std::iter::once(*channels).chain(size.iter().copied()).collect();
        stage(name, layers, output, Cost { live: cost.live.saturating_add(skips), ..*cost })
    }
}

/// A convolution without a bias.
fn mp_conv(model: &mut CostModel, outputs: i64, kernel: i64) {
    let (before, weights) =
        (model.values(model.channels), model.channels * outputs * kernel * kernel);
    let products = weights.saturating_mul(model.values(1));
    model.channels = outputs;
    model.add(weights, products, before);
    model.alive(before.saturating_add(model.values(outputs)));
}

fn cost_of_block(model: &mut CostModel, spec: &BlockSpec) {
    let input = model.values(model.channels);
    model.resample(spec.resample, 2);
    let skip = |model: &mut CostModel| {
        model.channels = spec.inputs;
        if spec.inputs != spec.outputs {
            mp_conv(model, spec.outputs, 1);
        }
    };
    if spec.encoder {
        skip(model);
    }
    model.activation(); // the pixel norm, or the input of the skip connection
    model.activation();
    mp_conv(model, spec.outputs, 3);
    model.add(spec.embedding * spec.outputs + 1, spec.embedding * spec.outputs, spec.embedding);
    model.activation();
    model.activation();
    if spec.dropout > 0.0 {
        model.activation();
    }
    mp_conv(model, spec.outputs, 3);
    if !spec.encoder {
        skip(model);
    }
    model.channels = spec.outputs;
    let output = model.values(spec.outputs);
    model.alive(input.saturating_add(output.saturating_mul(2)));
    if spec.heads > 0 {
        attention(model, spec.outputs);
    }
    model.activation(); // clipping
}

fn attention(model: &mut CostModel, channels: i64) {
    let (x, positions) = (model.values(channels), model.values(1));
    let weights = 4 * channels * channels;
    let products = weights.saturating_mul(positions);
    let attention = x.saturating_mul(positions).saturating_mul(2);
    // x; q, k and v before and after their normalisation, and the result.
    model.add(weights, products.saturating_add(attention), x.saturating_mul(8));
    model.alive(x.saturating_mul(8));
}
