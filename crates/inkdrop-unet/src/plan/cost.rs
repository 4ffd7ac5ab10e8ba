//! What one layer costs at one size.

use inkdrop_nn::{
    AttentionConfig, ConvConfig, LayerConfig, NormConfig, NormKind, Projection, ResBlockConfig,
    Resample, ResampleConfig,
};

/// Parameters, and work and memory for one image.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Cost {
    /// Trained numbers.
    pub parameters: i64,
    /// Products of numbers.
    pub products: i64,
    /// Numbers kept for the backward pass.
    pub kept: i64,
    /// Numbers alive at once.
    pub live: i64,
    /// Numbers alive at once while a checkpointed block runs again.
    pub again: i64,
}

/// A running sum over the layers of a stage, with the size of the image between them.
#[derive(Debug, Clone)]
pub(crate) struct CostModel {
    /// Height and width, or as many axes as the image has.
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

    /// Numbers in an image of this many channels.
    pub fn numbers(&self, channels: i64) -> i64 {
        self.size.iter().fold(channels, |product, &axis| product.saturating_mul(axis))
    }

    /// Adds to the sums; what is beyond counting stays at the most that can be counted.
    fn add(&mut self, parameters: i64, products: i64, kept: i64) {
        let cost = &mut self.cost;
        cost.parameters = cost.parameters.saturating_add(parameters);
        cost.products = cost.products.saturating_add(products);
        cost.kept = cost.kept.saturating_add(kept);
    }

    /// At least this many numbers are alive at once.
    fn alive(&mut self, numbers: i64) {
        self.cost.live = self.cost.live.max(numbers);
    }

    pub fn conv(&mut self, config: &ConvConfig) {
        let before = self.numbers(self.channels);
        let stride = config.stride();
        for (axis, stride) in self.size.iter_mut().zip(stride) {
            *axis = (*axis + stride - 1) / stride;
        }
        self.channels = config.outputs;
        let after = self.numbers(self.channels);
        let parameters = config.outputs * config.fan_in() + config.outputs;
        self.add(parameters, after.saturating_mul(config.fan_in()), before);
        self.alive(before.saturating_add(after));
    }

    /// A fully connected layer on one vector.
    pub fn linear(&mut self, inputs: i64, outputs: i64) {
        self.add(inputs * outputs + outputs, inputs * outputs, inputs);
    }

    pub fn norm(&mut self, config: NormConfig) {
        if config.kind != NormKind::None {
            self.add(2 * self.channels, 0, self.numbers(self.channels));
        }
    }

    /// An activation keeps what goes into it.
    pub fn activation(&mut self) {
        self.add(0, 0, self.numbers(self.channels));
    }

    pub fn layer(&mut self, config: &LayerConfig, checkpoint: bool) {
        let (input, kept) = (self.numbers(self.channels), self.cost.kept);
        match config {
            LayerConfig::Conv(config) => self.conv(config),
            LayerConfig::Down(config) => self.down(config),
            LayerConfig::Up(config) => self.up(config),
            LayerConfig::Res(config) => self.res(config),
            LayerConfig::Attention(config) => self.attention(config),
        }
        let block = matches!(config, LayerConfig::Res(_) | LayerConfig::Attention(_));
        if checkpoint && block {
            // Its inputs alone; the rest is alive only while the block runs again.
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

    fn resample(&mut self, resample: Resample, dims: usize) {
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
        let input = self.numbers(self.channels);
        self.norm(config.norm);
        self.activation();
        self.resample(config.resample, config.dims);
        self.conv(&config.conv1());
        if let Some(width) = config.embedding {
            self.linear(width, config.embedded());
        }
        self.add(config.classes.unwrap_or(0) * config.outputs, 0, 0);
        self.norm(config.norm);
        self.activation();
        if config.dropout > 0.0 {
            self.activation(); // what was dropped
        }
        self.conv(&config.conv2());
        if let Some(skip) = config.skip() {
            let (channels, kept) =
                (std::mem::replace(&mut self.channels, config.inputs), self.cost.kept);
            self.conv(&skip);
            self.channels = channels;
            self.cost.kept = kept; // x is kept by the norm already
        }
        let output = self.numbers(self.channels);
        self.alive(input.saturating_add(output.saturating_mul(2)));
    }

    fn attention(&mut self, config: &AttentionConfig) {
        let (x, inner) = (self.numbers(self.channels), self.numbers(config.inner));
        let places = self.numbers(1);
        self.norm(config.norm);
        let projections = 3 * config.inner * config.channels + config.inner * config.channels;
        let parameters = projections + 3 * config.inner + config.channels;
        // The projections at every place, q·kᵀ, and the weights times v.
        let attention = inner.saturating_mul(places).saturating_mul(2);
        let products = projections.saturating_mul(places).saturating_add(attention);
        // The norm's output; q, k, v and the result.
        self.add(parameters, products, x.saturating_add(inner.saturating_mul(4)));
        if config.projection == Projection::Separate {
            self.alive(x.saturating_add(inner.saturating_mul(5)));
        } else {
            self.alive(x.saturating_add(inner.saturating_mul(4)));
        }
    }
}
