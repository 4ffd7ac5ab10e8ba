//! Peak memory of a network, compared with the estimate of its plan.
//!
//! ```text
//! cargo run --release -p inkdrop-benches --example peak_memory -- improved_cifar10 4
//! ```
//!
//! Each row is a new process: one pass of a batch, after a small pass that loads libtorch's own
//! pages. Linux only.

use std::time::Instant;

use inkdrop_benches::{Result, peak_mib, table, training_options};
use inkdrop_nn::{ClassIds, Conditioning, Mode, TrainableNetwork};
use inkdrop_torch::tch::{Device, Kind, Tensor, no_grad_guard};
use inkdrop_unet::ModelConfig;

/// The rows: name, gradients, checkpointing.
const ROWS: [(&str, bool, bool); 3] = [
    ("inference", false, false),
    ("one training pass", true, false),
    ("the same, checkpointed", true, true),
];

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match &arguments[..] {
        [name, batch] => rows(name, batch),
        [name, batch, row] => measure(&config(name, row.parse()?)?, batch.parse()?, row.parse()?),
        _ => Err("expected a preset and a batch size, such as improved_cifar10 4".into()),
    }
}

fn rows(name: &String, batch: &String) -> Result<()> {
    println!("{name}, batch {batch}: MiB beside the weights, seconds");
    table("", &["plan", "peak", "time"], &ROWS.map(|(what, ..)| what), &[name, batch])
}

fn config(name: &str, row: usize) -> Result<ModelConfig> {
    let mut config = ModelConfig::preset(name)
        .ok_or_else(|| format!("unknown preset `{name}`; `inkdrop plan --list` lists them"))?;
    if let Some((_, checkpoint)) = training_options(&mut config) {
        *checkpoint = ROWS[row].2;
    }
    Ok(config)
}

/// Prints the plan's estimate, the peak and the time of one pass.
fn measure(config: &ModelConfig, batch: i64, row: usize) -> Result<()> {
    let train = ROWS[row].1;
    let network = config.build(Kind::Float, Device::Cpu)?;
    let [channels, height, width] = config.image_shape();
    let multiple = if matches!(config, ModelConfig::Context(_)) { height } else { 32 };
    pass(network.as_ref(), config, &[1, channels, multiple, multiple.min(width)], train)?;
    std::fs::write("/proc/self/clear_refs", "5")?; // resets the peak
    let peak = || peak_mib().ok_or("no VmHWM");
    let (before, begun) = (peak()?, Instant::now());
    pass(network.as_ref(), config, &[batch, channels, height, width], train)?;
    let (time, peak) = (begun.elapsed().as_secs_f64(), peak()? - before);
    let memory = config.plan()?.memory(batch);
    let plan = match train {
        true => memory.training - 4 * memory.weights, // gradients are allocated already; there is no optimizer
        false => memory.inference - memory.weights,
    };
    println!("{} {peak:.0} {time:.2}", plan >> 20);
    Ok(())
}

fn pass(
    network: &dyn TrainableNetwork,
    config: &ModelConfig,
    shape: &[i64],
    train: bool,
) -> Result<()> {
    let _guard = (!train).then(no_grad_guard);
    let x = Tensor::randn(shape, (Kind::Float, Device::Cpu));
    let t = Tensor::ones([shape[0]], (Kind::Float, Device::Cpu));
    let ids = vec![0; shape[0] as usize];
    let classes = config.classes().map(|_| ClassIds::new(&ids, Device::Cpu)).transpose()?;
    let low_res = matches!(config, ModelConfig::ImprovedSuperRes(_)).then(|| x.shallow_clone());
    let conditioning = Conditioning { classes, low_res, ..Conditioning::none() };
    let mode = if train { Mode::Train } else { Mode::Eval };
    let out = network.forward_mode(&x, &t, &conditioning, mode)?;
    if train {
        out.square().mean(Kind::Float).backward();
    }
    Ok(())
}
