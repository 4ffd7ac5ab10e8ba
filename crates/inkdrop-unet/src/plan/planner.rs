//! The plan of a layout.

use inkdrop_nn::LayerConfig;

use super::cost::CostModel;
use super::{Cost, Plan, Stage};
use crate::backbone::{ClassLayout, Layout, MlpLayout, StageLayout};

impl Plan {
    /// - channels: of what the first convolution sees
    /// - size: of the image there
    pub(crate) fn of(layout: &Layout, channels: i64, size: &[i64], checkpoint: bool) -> Self {
        let mut planner = Planner {
            model: CostModel::new(channels, size.to_vec()),
            skips: Vec::new(),
            checkpoint,
        };
        let mut stages = Vec::new();
        stages.extend(layout.time.as_ref().map(|time| mlp(time.scope, time)));
        stages.extend(layout.classes.as_ref().map(class));
        for stage in &layout.down {
            stages.push(planner.stage(stage));
            planner
                .skips
                .push((planner.model.channels, planner.model.numbers(planner.model.channels)));
        }
        stages.extend(layout.middle.iter().map(|stage| planner.stage(stage)));
        stages.extend(layout.up.iter().map(|stage| planner.stage(stage)));
        stages.push(planner.head(layout));
        Self::new(stages)
    }
}

/// The place that the data has reached.
struct Planner {
    model: CostModel,
    /// Channels and numbers of each skip that waits.
    skips: Vec<(i64, i64)>,
    checkpoint: bool,
}

impl Planner {
    fn stage(&mut self, layout: &StageLayout) -> Stage {
        self.model.cost = Cost::default();
        if layout.takes_skip
            && let Some((channels, _)) = self.skips.pop()
        {
            self.model.channels += channels;
        }
        for (_, layer) in &layout.layers {
            self.model.layer(layer, self.checkpoint);
        }
        let words = layout.layers.iter().map(|(_, layer)| word(layer));
        self.finish(&layout.name, words.collect::<Vec<_>>().join(" · "))
    }

    fn head(&mut self, layout: &Layout) -> Stage {
        self.model.cost = Cost::default();
        self.model.norm(layout.head.norm);
        self.model.activation();
        self.model.conv(&layout.head.conv);
        let name = match layout.head.norm_key.split_once('.') {
            Some((list, _)) => list,
            None => layout.head.conv_key,
        };
        self.finish(name, "norm · conv".to_string())
    }

    fn finish(&self, name: &str, layers: String) -> Stage {
        let CostModel { size, channels, cost } = &self.model;
        let waiting: i64 =
            self.skips.iter().fold(0, |sum, (_, numbers)| sum.saturating_add(*numbers));
        let output = std::iter::once(*channels).chain(size.iter().copied()).collect();
        stage(name, layers, output, Cost { live: cost.live.saturating_add(waiting), ..*cost })
    }
}

/// A stage of these sums.
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

fn mlp(name: &str, layout: &MlpLayout) -> Stage {
    let [inputs, between, outputs] = layout.widths;
    let mut model = CostModel::new(inputs, Vec::new());
    model.linear(inputs, between);
    model.linear(between, outputs);
    stage(name, "linear · linear".to_string(), vec![outputs], model.cost)
}

fn class(layout: &ClassLayout) -> Stage {
    match layout {
        ClassLayout::Sinusoids(layers) => mlp(layers.scope, layers),
        ClassLayout::Table { key, rows, width } => {
            let cost = Cost { parameters: rows * width, ..Cost::default() };
            stage(key, "table".to_string(), vec![*width], cost)
        }
    }
}

fn word(layer: &LayerConfig) -> &'static str {
    match layer {
        LayerConfig::Conv(_) => "conv",
        LayerConfig::Res(config) => match config.resample {
            inkdrop_nn::Resample::Keep => "res",
            inkdrop_nn::Resample::Halve => "res down",
            inkdrop_nn::Resample::Double => "res up",
        },
        LayerConfig::Attention(_) => "attention",
        LayerConfig::Down(_) => "down",
        LayerConfig::Up(_) => "up",
    }
}
