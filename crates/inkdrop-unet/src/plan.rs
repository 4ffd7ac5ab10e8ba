//! The plan of a network: shapes, parameters, FLOPs and memory, before any tensor exists.

use inkdrop_nn::{
    AttentionConfig, ConvConfig, LayerConfig, MemoryAttentionConfig, NormConfig, NormKind,
    Projection, ResBlockConfig, Resample, ResampleConfig,
};

use crate::spec::{ClassSpec, EmbeddingSpec, JoinedClassSpec, Sinusoids, StageSpec, UnetSpec};

/// Stages of a network in the order of the data, with shapes, parameters, FLOPs and memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    stages: Vec<Stage>,
}

/// One named part of a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    /// Prefix of its parameters' names, e.g. `down1` or `input_blocks.4`.
    pub name: String,
    /// Its layers, in words.
    pub layers: String,
    /// Shape of its output for one image: [C, H, W], or `[C]` for an embedding.
    pub output: Vec<i64>,
    /// Number of trained values.
    pub parameters: i64,
    /// Floating point operations for one image: two for each multiply-accumulate.
    pub flop: i64,
    /// Activations kept for the backward pass, for one image.
    pub kept: i64,
    /// Values alive while it runs, for one image, skip connections included.
    pub live: i64,
    /// Values alive while it runs again under gradient checkpointing; 0 without it.
    pub again: i64,
}

/// Estimated memory of a network in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// The weights.
    pub weights: i64,
    /// Weights and the peak of activations in a pass without gradients.
    pub inference: i64,
    /// Weights, gradients, Adam's two moment estimates, and activations for the backward pass.
    pub training: i64,
}

impl Plan {
    /// - stages: in the order of the data
    pub(crate) fn new(stages: Vec<Stage>) -> Self {
        Self { stages }
    }

    /// Sets the size of the output, from which a network crops its padding.
    pub(crate) fn cropped(mut self, size: &[i64]) -> Self {
        if let Some(last) = self.stages.last_mut() {
            last.output.splice(1.., size.iter().copied());
        }
        self
    }

    /// The stages in the order of the data.
    pub fn stages(&self) -> &[Stage] {
        &self.stages
    }

    /// Number of trained values.
    pub fn parameters(&self) -> i64 {
        self.stages.iter().map(|stage| stage.parameters).sum()
    }

    /// 10⁹ floating point operations for one image.
    pub fn gflop(&self) -> f64 {
        self.stages.iter().map(|stage| stage.flop as f64).sum::<f64>() / 1e9
    }

    /// Memory for a batch of this many images in f32, without libtorch itself (some hundred MiB)
    /// and the free memory that its allocator holds back.
    pub fn memory(&self, batch: i64) -> Memory {
        const F32: i64 = 4;
        let weights = F32.saturating_mul(self.parameters());
        let images = F32.saturating_mul(batch);
        let live = self.stages.iter().map(|stage| stage.live).max().unwrap_or(0);
        let again = self.stages.iter().map(|stage| stage.again).max().unwrap_or(0);
        let kept = self.stages.iter().fold(0i64, |sum, stage| sum.saturating_add(stage.kept));
        let with = |numbers: i64, times: i64| {
            weights.saturating_mul(times).saturating_add(images.saturating_mul(numbers))
        };
        Memory {
            weights,
            inference: with(live, 1),
            training: with(kept.saturating_add(live.max(again)), 4),
        }
    }
}

impl Plan {
    /// - size: of the image that the first convolution takes
    pub(crate) fn of(spec: &UnetSpec, size: &[i64]) -> Self {
        let mut planner = Planner::new(spec.inputs.network_channels(), size, spec.checkpoint);
        let mut stages = Vec::new();
        stages.extend(spec.timestep.as_ref().map(embedding));
        stages.extend(spec.interval.as_ref().map(embedding));
        stages.extend(spec.classes.as_ref().and_then(class));
        for stage in &spec.encoder {
            stages.push(planner.stage(stage));
            planner.push_skip();
        }
        stages.extend(spec.middle.iter().map(|stage| planner.stage(stage)));
        stages.extend(spec.decoder.iter().map(|stage| planner.stage(stage)));
        stages.push(planner.head(spec));
        Self::new(stages)
    }
}

/// Follows the data through the stages of a spec.
pub(crate) struct Planner {
    pub model: CostModel,
    /// Channels and number of values of each skip connection that is still alive.
    skips: Vec<(i64, i64)>,
    checkpoint: bool,
}

impl Planner {
    /// - channels, size: of the image that the first convolution takes
    pub fn new(channels: i64, size: &[i64], checkpoint: bool) -> Self {
        Self { model: CostModel::new(channels, size.to_vec()), skips: Vec::new(), checkpoint }
    }

    pub fn push_skip(&mut self) {
        let channels = self.model.channels;
        self.skips.push((channels, self.model.values(channels)));
    }

    pub fn stage(&mut self, spec: &StageSpec) -> Stage {
        self.stage_and(spec, |_| {})
    }

    /// A stage with further layers at its end.
    pub fn stage_and(&mut self, spec: &StageSpec, end: impl FnOnce(&mut CostModel)) -> Stage {
        self.model.cost = Cost::default();
        if spec.takes_skip
            && let Some((channels, _)) = self.skips.pop()
        {
            self.model.channels += channels;
        }
        for (_, layer) in &spec.layers {
            self.model.layer(layer, self.checkpoint);
        }
        end(&mut self.model);
        let words = spec.layers.iter().map(|(_, layer)| word(layer));
        self.finish(&spec.name, words.collect::<Vec<_>>().join(" · "))
    }

    fn head(&mut self, spec: &UnetSpec) -> Stage {
        self.model.cost = Cost::default();
        self.model.norm(spec.head.norm);
        if spec.head.activation.is_some() {
            self.model.activation();
        }
        self.model.conv(&spec.head.conv);
        let name = match spec.head.norm_key.split_once('.') {
            Some((list, _)) => list,
            None => spec.head.conv_key,
        };
        let layers = if spec.head.norm.kind == NormKind::None { "conv" } else { "norm · conv" };
        self.finish(name, layers.to_string())
    }

    fn finish(&self, name: &str, layers: String) -> Stage {
        let CostModel { size, channels, cost } = &self.model;
        let skips: i64 = self.skips.iter().fold(0, |sum, (_, values)| sum.saturating_add(*values));
        let output = std::iter::once(*channels).chain(size.iter().copied()).collect();
        stage(name, layers, output, Cost { live: cost.live.saturating_add(skips), ..*cost })
    }
}

/// A stage of this cost.
pub(crate) fn stage(name: &str, layers: String, output: Vec<i64>, cost: Cost) -> Stage {
    Stage {
        name: name.to_string(),
        layers,
        output,
        parameters: cost.parameters,
        flop: cost.products.saturating_mul(2),
        kept: cost.kept,
        live: cost.live,
        again: cost.again,
    }
}

fn embedding(spec: &EmbeddingSpec) -> Stage {
    let [inputs, hidden, outputs] = spec.widths;
    let mut model = CostModel::new(inputs, Vec::new());
    model.linear(inputs, hidden);
    model.linear(hidden, outputs);
    if let Sinusoids::Fourier { frequencies, trained: true, .. } = spec.sinusoids {
        model.cost.parameters += frequencies;
    }
    stage(spec.scope, "linear · linear".to_string(), vec![outputs], model.cost)
}

fn class(spec: &ClassSpec) -> Option<Stage> {
    match spec {
        ClassSpec::Sinusoidal(spec) => Some(embedding(spec)),
        ClassSpec::Table { key, rows, width } => {
            let cost = Cost { parameters: rows * width, ..Cost::default() };
            Some(stage(key, "table".to_string(), vec![*width], cost))
        }
        ClassSpec::Joined(JoinedClassSpec { table, rows, widths, .. }) => {
            let [inputs, hidden, outputs] = *widths;
            let mut model = CostModel::new(inputs, Vec::new());
            model.linear(inputs, hidden);
            model.linear(hidden, outputs);
            model.cost.parameters += (rows + 1) * inputs; // the null class has a vector, too
            Some(stage(table, "table · linear · linear".to_string(), vec![outputs], model.cost))
        }
        ClassSpec::PerBlock => None, // part of the residual blocks
    }
}

fn word(layer: &LayerConfig) -> &'static str {
    match layer {
        LayerConfig::Conv(_) => "conv",
        LayerConfig::Res(config) => match config.resample {
            Resample::Keep => "res",
            Resample::Halve => "res down",
            Resample::Double => "res up",
        },
        LayerConfig::Attention(_) => "attention",
        LayerConfig::MemoryAttention(config) if config.linear => "linear attn",
        LayerConfig::MemoryAttention(_) => "attention",
        LayerConfig::Unshuffle => "unshuffle",
        LayerConfig::Double => "double",
        LayerConfig::Down(_) => "down",
        LayerConfig::Up(_) => "up",
    }
}

/// Cost of one stage: parameters, and work and memory for one image.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Cost {
    /// Number of trained values.
    pub parameters: i64,
    /// Multiply-accumulate operations.
    pub products: i64,
    /// Activations kept for the backward pass.
    pub kept: i64,
    /// Values alive at the same time.
    pub live: i64,
    /// Values alive while a block runs again under gradient checkpointing.
    pub again: i64,
}

/// Cost model of the layers: sums the cost of a stage and follows the shape of the data.
#[derive(Debug, Clone)]
pub(crate) struct CostModel {
    /// Spatial size, e.g. height and width.
    pub size: Vec<i64>,
    /// Channels.
    pub channels: i64,
    /// The sum so far.
    pub cost: Cost,
}

impl CostModel {
    pub fn new(channels: i64, size: Vec<i64>) -> Self {
        Self { size, channels, cost: Cost::default() }
    }

    /// Number of values of an image with this many channels.
    pub fn values(&self, channels: i64) -> i64 {
        self.size.iter().fold(channels, |product, &axis| product.saturating_mul(axis))
    }

    /// Adds to the sums, saturating at the largest i64.
    pub fn add(&mut self, parameters: i64, products: i64, kept: i64) {
        let cost = &mut self.cost;
        cost.parameters = cost.parameters.saturating_add(parameters);
        cost.products = cost.products.saturating_add(products);
        cost.kept = cost.kept.saturating_add(kept);
    }

    /// Raises the peak of live values to at least this.
    pub fn alive(&mut self, values: i64) {
        self.cost.live = self.cost.live.max(values);
    }

    pub fn conv(&mut self, config: &ConvConfig) {
        let before = self.values(self.channels);
        let stride = config.stride();
        for (axis, stride) in self.size.iter_mut().zip(stride) {
            *axis = (*axis + stride - 1) / stride;
        }
        self.channels = config.outputs;
        let after = self.values(self.channels);
        let bias = if config.bias { config.outputs } else { 0 };
        let parameters = config.outputs * config.fan_in() + bias;
        self.add(parameters, after.saturating_mul(config.fan_in()), before);
        self.alive(before.saturating_add(after));
    }

    /// A fully connected layer on one vector, with a bias.
    pub fn linear(&mut self, inputs: i64, outputs: i64) {
        self.add(inputs * outputs + outputs, inputs * outputs, inputs);
    }

    pub fn norm(&mut self, config: NormConfig) {
        let parameters = match config.kind {
            NormKind::None => return,
            NormKind::Rms { .. } => self.channels,
            NormKind::Group | NormKind::Batch | NormKind::Instance => 2 * self.channels,
        };
        self.add(parameters, 0, self.values(self.channels));
    }

    /// An activation keeps its input.
    pub fn activation(&mut self) {
        self.add(0, 0, self.values(self.channels));
    }

    pub fn layer(&mut self, config: &LayerConfig, checkpoint: bool) {
        let (input, kept) = (self.values(self.channels), self.cost.kept);
        match config {
            LayerConfig::Conv(config) => self.conv(config),
            LayerConfig::Down(config) => self.down(config),
            LayerConfig::Up(config) => self.up(config),
            LayerConfig::Res(config) => self.res(config),
            LayerConfig::Attention(config) => self.attention(config),
            LayerConfig::MemoryAttention(config) => self.memory_attention(config),
            LayerConfig::Unshuffle => {
                self.size.iter_mut().for_each(|axis| *axis /= 2);
                self.channels *= 4;
            }
            LayerConfig::Double => self.resample(Resample::Double, self.size.len()),
        }
        let block = matches!(
            config,
            LayerConfig::Res(_) | LayerConfig::Attention(_) | LayerConfig::MemoryAttention(_)
        );
        if checkpoint && block {
            // Gradient checkpointing keeps the input only; the rest is alive while the block runs again.
            let inside = self.cost.kept - kept;
            self.cost.again = self.cost.again.max(input.saturating_add(inside));
            self.cost.kept = kept.saturating_add(input);
        }
    }

    fn down(&mut self, config: &ResampleConfig) {
        if config.learned {
            return self.conv(&config.halving());
        }
        self.resample(Resample::Halve, config.dims);
    }

    fn up(&mut self, config: &ResampleConfig) {
        self.resample(Resample::Double, config.dims);
        if config.learned {
            self.conv(&config.smoothing());
        }
    }

    pub fn resample(&mut self, resample: Resample, dims: usize) {
        let first = if dims == 3 { 1 } else { 0 };
        for axis in self.size.iter_mut().skip(first) {
            match resample {
                Resample::Keep => {}
                Resample::Halve => *axis /= 2,
                Resample::Double => *axis = axis.saturating_mul(2),
            }
        }
    }

    fn res(&mut self, config: &ResBlockConfig) {
        let input = self.values(self.channels);
        if !config.norm_after {
            self.norm(config.norm);
            self.activation();
        }
        self.resample(config.resample, config.dims);
        self.conv(&config.conv1());
        if let Some(width) = config.embedding {
            self.linear(width, config.embedded());
        }
        self.add(config.classes.unwrap_or(0) * config.outputs, 0, 0);
        self.norm(config.norm);
        self.activation();
        if config.dropout > 0.0 {
            self.activation(); // the dropout mask
        }
        self.conv(&config.conv2());
        if config.norm_after {
            self.norm(config.norm);
            self.activation();
        }
        if let Some(skip) = config.skip() {
            let (channels, kept) =
                (std::mem::replace(&mut self.channels, config.inputs), self.cost.kept);
            self.conv(&skip);
            self.channels = channels;
            self.cost.kept = kept; // the norm keeps x already
        }
        let output = self.values(self.channels);
        self.alive(input.saturating_add(output.saturating_mul(2)));
    }

    fn memory_attention(&mut self, config: &MemoryAttentionConfig) {
        let (x, inner) = (self.values(self.channels), self.values(config.inner()));
        let positions = self.values(1);
        let projections = 4 * config.inner() * config.channels;
        let memory = config.memory_shape().iter().product::<i64>();
        // The norm before, the bias of the output projection, and the norm after linear attention.
        let channels = config.channels * if config.linear { 3 } else { 2 };
        // k·v and q times it, or q·kᵀ and the weights times v.
        let with = if config.linear { config.head_channels } else { positions + config.memory };
        let attention = inner.saturating_mul(with).saturating_mul(2);
        let products = projections.saturating_mul(positions).saturating_add(attention);
        let outputs = if config.linear { x } else { 0 };
        let kept = x.saturating_mul(2).saturating_add(inner.saturating_mul(4));
        self.add(projections + memory + channels, products, kept.saturating_add(outputs));
        self.alive(x.saturating_mul(2).saturating_add(inner.saturating_mul(4)));
    }

    fn attention(&mut self, config: &AttentionConfig) {
        let (x, inner) = (self.values(self.channels), self.values(config.inner));
        let positions = self.values(1);
        self.norm(config.norm);
        let projections = 3 * config.inner * config.channels + config.inner * config.channels;
        let parameters = projections + 3 * config.inner + config.channels;
        // The projections at every position, q·kᵀ, and the attention weights times v.
        let attention = inner.saturating_mul(positions).saturating_mul(2);
        let products = projections.saturating_mul(positions).saturating_add(attention);
        // The norm's output; q, k, v and the result.
        self.add(parameters, products, x.saturating_add(inner.saturating_mul(4)));
        if config.projection == Projection::Separate {
            self.alive(x.saturating_add(inner.saturating_mul(5)));
        } else {
            self.alive(x.saturating_add(inner.saturating_mul(4)));
        }
    }
}
