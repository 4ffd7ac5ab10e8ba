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
}

/// A running sum over the layers of a stage, with the size of the image between them.
#[derive(Debug, Clone)]
pub(crate) struct Meter {
    /// Height and width, or as many axes as the image has.
    pub size: Vec<i64>,
    /// Channels.
    pub channels: i64,
    /// The sum so far.
    pub cost: Cost,
}

/// Adds without going round: sums of absurd sizes stay at the end of the scale.
fn grow(sum: &mut i64, more: i64) {
    *sum = sum.saturating_add(more);
}

impl Meter {
    pub fn new(channels: i64, size: Vec<i64>) -> Self {
        Self { size, channels, cost: Cost::default() }
    }

    /// Numbers in an image of this many channels.
    pub fn numbers(&self, channels: i64) -> i64 {
        self.size.iter().fold(channels, |product, &axis| product.saturating_mul(axis))
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
        self.cost.parameters += config.outputs * config.fan_in() + config.outputs;
        grow(&mut self.cost.products, after.saturating_mul(config.fan_in()));
        grow(&mut self.cost.kept, before);
        self.alive(before.saturating_add(after));
    }

    /// A fully connected layer on one vector.
    pub fn linear(&mut self, inputs: i64, outputs: i64) {
        self.cost.parameters += inputs * outputs + outputs;
        grow(&mut self.cost.products, inputs * outputs);
        grow(&mut self.cost.kept, inputs);
    }

    pub fn norm(&mut self, config: NormConfig) {
        if config.kind != NormKind::None {
            self.cost.parameters += 2 * self.channels;
            let numbers = self.numbers(self.channels);
            grow(&mut self.cost.kept, numbers);
        }
    }

    /// An activation keeps what goes into it.
    pub fn activation(&mut self) {
        let numbers = self.numbers(self.channels);
        grow(&mut self.cost.kept, numbers);
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
            self.alive(input.saturating_add(inside));
            self.cost.kept = kept + input;
        }
    }

    fn down(&mut self, config: &ResampleConfig) {
        if config.learned {
            return self.conv(&ConvConfig { padding: 1, ..config.halving() });
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
        self.cost.parameters += config.classes.unwrap_or(0) * config.outputs;
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
        self.cost.parameters += projections + 3 * config.inner + config.channels;
        grow(&mut self.cost.products, projections.saturating_mul(places));
        // q·kᵀ and the weights times v.
        grow(&mut self.cost.products, inner.saturating_mul(places).saturating_mul(2));
        grow(&mut self.cost.kept, x.saturating_add(inner.saturating_mul(4))); // norm's output; q, k, v, result
        if config.projection == Projection::Separate {
            self.alive(x.saturating_add(inner.saturating_mul(5)));
        } else {
            self.alive(x.saturating_add(inner.saturating_mul(4)));
        }
    }
}
