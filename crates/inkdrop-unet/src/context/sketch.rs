//! The plan of a ContextUnet.

use inkdrop_nn::{ConvConfig, NormConfig};

use super::ContextConfig;
use crate::plan::{Cost, Meter, Plan, Stage, stage};

impl ContextConfig {
    /// Stages with their cost; the config has been checked.
    pub(super) fn sketch(&self) -> Plan {
        let Self { channels, features: n, contexts, size } = *self;
        let mut stages = Vec::new();
        let mut meter = Meter::new(channels, vec![size; 2]);
        let init = meter.numbers(n);
        let half = init / 4; // what down1 leaves
        stages.push(measure(&mut meter, "init_conv", "block", 0, |meter| {
            block(meter, n);
            if channels != n {
                let kept = meter.cost.kept;
                meter.channels = channels;
                meter.conv(&ConvConfig::same(channels, n, 1));
                meter.cost.kept = kept;
            }
        }));
        stages.push(measure(&mut meter, "down1", "block · block · pool", init, |m| down(m, n)));
        let waiting = init + half;
        stages.push(measure(&mut meter, "down2", "block · block · pool", waiting, |m| {
            down(m, 2 * n)
        }));
        stages.push(embedding("timeembed", 1, n));
        stages.push(embedding("contextembed", contexts, n));
        let waiting = waiting + meter.numbers(2 * n);
        stages.push(measure(&mut meter, "up0", "pool · up · norm", waiting, |meter| {
            let kernel = meter.size[0];
            meter.size = vec![1, 1];
            enlarge(meter, 2 * n, kernel);
            meter.norm(NormConfig::groups(8));
            meter.activation();
        }));
        stages.push(measure(&mut meter, "up1", "join · up · block · block", init + half, |m| {
            up(m, 2 * n, n);
        }));
        stages.push(measure(&mut meter, "up2", "join · up · block · block", init, |m| {
            up(m, n, n)
        }));
        stages.push(measure(&mut meter, "out", "join · conv · norm · conv", 0, |meter| {
            meter.channels += n;
            meter.conv(&ConvConfig::same(2 * n, n, 3));
            meter.norm(NormConfig::groups(8));
            meter.activation();
            meter.conv(&ConvConfig::same(n, channels, 3));
        }));
        Plan::new(stages)
    }
}

/// One stage: what `layers` adds to the meter, beside skips of `waiting` numbers.
fn measure(
    meter: &mut Meter,
    name: &str,
    words: &str,
    waiting: i64,
    layers: impl FnOnce(&mut Meter),
) -> Stage {
    meter.cost = Cost::default();
    layers(meter);
    let output = vec![meter.channels, meter.size[0], meter.size[1]];
    let cost = Cost { live: meter.cost.live + waiting, ..meter.cost };
    stage(name, words.to_string(), output, cost)
}

/// (Convolution · norm · GELU) twice.
fn block(meter: &mut Meter, outputs: i64) {
    for _ in 0..2 {
        meter.conv(&ConvConfig::same(meter.channels, outputs, 3));
        meter.norm(NormConfig::groups(1)); // a batch norm has as many parameters
        meter.activation();
    }
}

fn down(meter: &mut Meter, outputs: i64) {
    block(meter, outputs);
    block(meter, outputs);
    meter.activation(); // the pool keeps which entries were the largest
    meter.size.iter_mut().for_each(|axis| *axis /= 2);
}

/// A transposed convolution whose kernel is as wide as its stride.
fn enlarge(meter: &mut Meter, outputs: i64, kernel: i64) {
    let inputs = meter.channels;
    let before = meter.numbers(inputs);
    meter.cost.parameters += inputs * outputs * kernel * kernel + outputs;
    meter.cost.products += before * outputs * kernel * kernel;
    meter.cost.kept += before;
    meter.size.iter_mut().for_each(|axis| *axis *= kernel);
    meter.channels = outputs;
    meter.cost.live = meter.cost.live.max(before + meter.numbers(outputs));
}

/// The skip is as wide as x.
fn up(meter: &mut Meter, skip: i64, outputs: i64) {
    meter.channels += skip;
    enlarge(meter, outputs, 2);
    block(meter, outputs);
    block(meter, outputs);
}

/// Both layers of both widths, 2n and n.
fn embedding(name: &str, inputs: i64, n: i64) -> Stage {
    let mut meter = Meter::new(inputs, Vec::new());
    for width in [2 * n, n] {
        meter.linear(inputs, width);
        meter.linear(width, width);
    }
    stage(name, "linear · linear, twice".to_string(), vec![3 * n], meter.cost)
}
