//! What a network will be, before any tensor exists.

mod cost;
mod planner;

pub(crate) use cost::{Cost, CostModel};
pub(crate) use planner::stage;

/// The stages of a network in the order of the data, with shapes, parameters and cost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    stages: Vec<Stage>,
}

/// One named part of a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    /// Where it lies among the parameters' names, e.g. `down1` or `input_blocks.4`.
    pub name: String,
    /// Its layers, in words.
    pub layers: String,
    /// Shape of its output for one image: [C, H, W], or `[C]` for an embedding.
    pub output: Vec<i64>,
    /// How many trained numbers it has.
    pub parameters: i64,
    /// Multiplications and additions together, for one image: twice the products.
    pub flop: i64,
    /// Numbers that training keeps of it for the backward pass, for one image.
    pub kept: i64,
    /// Numbers that are alive at once while it runs, for one image, skips included.
    pub live: i64,
    /// The same while the backward pass runs it again, where it is checkpointed; else 0.
    pub again: i64,
}

/// Bytes that a network needs, estimated from the sizes of its tensors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// The weights.
    pub weights: i64,
    /// Weights and the most that is alive during one pass without gradients.
    pub inference: i64,
    /// Weights, gradients, Adam's two averages, and what the backward pass needs.
    pub training: i64,
}

impl Plan {
    /// - stages: in the order of the data
    pub(crate) fn new(stages: Vec<Stage>) -> Self {
        Self { stages }
    }

    /// The same, whose result is cut to this size: what a padded image is in the end.
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

    /// How many numbers an optimiser changes.
    pub fn parameters(&self) -> i64 {
        self.stages.iter().map(|stage| stage.parameters).sum()
    }

    /// 10⁹ multiplications and additions for one image.
    pub fn gflop(&self) -> f64 {
        self.stages.iter().map(|stage| stage.flop as f64).sum::<f64>() / 1e9
    }

    /// What a batch of this many images needs in f32.
    ///
    /// libtorch's own buffers come on top: some hundred MiB for the library, and
    /// what its allocator holds back.
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
