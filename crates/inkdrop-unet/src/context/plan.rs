//! The plan of a ContextUnet.

use inkdrop_nn::{ConvConfig, NormConfig};

use super::ContextConfig;
use crate::plan::{Cost, CostModel, Plan, Stage, stage};

impl ContextConfig {
    /// Stages with their cost; the config has been checked.
    pub(super) fn stages(&self) -> Plan {
        let Self { channels, features: n, contexts, size, interval } = *self;
        let mut stages = Vec::new();
        let mut model = CostModel::new(channels, vec![size; 2]);
        let init = model.values(n);
        let half = init / 4; // what down1 leaves
        stages.push(measure(&mut model, "init_conv", "block", 0, |model| {
            block(model, n);
            if channels != n {
                let kept = model.cost.kept;
                model.channels = channels;
                model.conv(&ConvConfig::same(channels, n, 1));
                model.cost.kept = kept;
            }
        }));
        stages.push(measure(&mut model, "down1", "block · block · pool", init, |m| down(m, n)));
        let skips = init + half;
        stages.push(measure(&mut model, "down2", "block · block · pool", skips, |m| {
            down(m, 2 * n)
        }));
        stages.push(embedding("timeembed", 1, n));
        stages.push(embedding("contextembed", contexts, n));
        if interval {
            stages.push(embedding("intervalembed", 1, n));
        }
        let skips = skips + model.values(2 * n);
        stages.push(measure(&mut model, "up0", "pool · up · norm", skips, |model| {
            let kernel = model.size[0];
            model.size = vec![1, 1];
            enlarge(model, 2 * n, kernel);
            model.norm(NormConfig::groups(8));
            model.activation();
        }));
        stages.push(measure(&mut model, "up1", "join · up · block · block", init + half, |m| {
            up(m, 2 * n, n);
        }));
        stages.push(measure(&mut model, "up2", "join · up · block · block", init, |m| {
            up(m, n, n)
        }));
        stages.push(measure(&mut model, "out", "join · conv · norm · conv", 0, |model| {
            model.channels += n;
            model.conv(&ConvConfig::same(2 * n, n, 3));
            model.norm(NormConfig::groups(8));
            model.activation();
            model.conv(&ConvConfig::same(n, channels, 3));
        }));
        Plan::new(stages)
    }
}

/// The plan of one stage: the cost of `layers`, with `skips` values of skip connections in memory.
fn measure(
    model: &mut CostModel,
    name: &str,
    words: &str,
    skips: i64,
    layers: impl FnOnce(&mut CostModel),
) -> Stage {
    model.cost = Cost::default();
    layers(model);
    let output = vec![model.channels, model.size[0], model.size[1]];
    let cost = Cost { live: model.cost.live + skips, ..model.cost };
    stage(name, words.to_string(), output, cost)
}

/// (Convolution · norm · GELU) twice.
fn block(model: &mut CostModel, outputs: i64) {
    for _ in 0..2 {
        model.conv(&ConvConfig::same(model.channels, outputs, 3));
        model.norm(NormConfig::groups(1)); // a batch norm has as many parameters
        model.activation();
    }
}

fn down(model: &mut CostModel, outputs: i64) {
    block(model, outputs);
    block(model, outputs);
    model.activation(); // max pooling keeps the indices of the maxima
    model.size.iter_mut().for_each(|axis| *axis /= 2);
}

/// A transposed convolution whose kernel is as wide as its stride.
fn enlarge(model: &mut CostModel, outputs: i64, kernel: i64) {
    let inputs = model.channels;
    let before = model.values(inputs);
    model.cost.parameters += inputs * outputs * kernel * kernel + outputs;
    model.cost.products += before * outputs * kernel * kernel;
    model.cost.kept += before;
    model.size.iter_mut().for_each(|axis| *axis *= kernel);
    model.channels = outputs;
    model.cost.live = model.cost.live.max(before + model.values(outputs));
}

/// The skip is as wide as x.
fn up(model: &mut CostModel, skip: i64, outputs: i64) {
    model.channels += skip;
    enlarge(model, outputs, 2);
    block(model, outputs);
    block(model, outputs);
}

/// Both layers of both widths, 2n and n.
fn embedding(name: &str, inputs: i64, n: i64) -> Stage {
    let mut model = CostModel::new(inputs, Vec::new());
    for width in [2 * n, n] {
        model.linear(inputs, width);
        model.linear(width, width);
    }
    stage(name, "linear · linear, twice".to_string(), vec![3 * n], model.cost)
}
