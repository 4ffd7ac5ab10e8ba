//! Time and peak memory of opening a model: reading its file, building the network, loading the weights.
//!
//! ```text
//! cargo run --release -p inkdrop-benches --example open_model -- improved_imagenet64 /tmp/model.safetensors
//! ```
//!
//! The first run writes the file, with random weights. Each row is a process of its own. Linux only.

use std::path::Path;
use std::time::Instant;

use inkdrop_benches::{Result, peak_mib, table};
use inkdrop_checkpoint::{StateDict, load, load_shared};
use inkdrop_torch::tch::{Device, Kind};
use inkdrop_unet::ModelConfig;

/// The rows: dtype, and true to draw an initialisation first and copy the weights.
const ROWS: [(&str, Kind, bool); 4] = [
    ("f32, initialised first", Kind::Float, true),
    ("f32", Kind::Float, false),
    ("bf16, initialised first", Kind::BFloat16, true),
    ("bf16", Kind::BFloat16, false),
];

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match &arguments[..] {
        [preset, file] => rows(preset, file),
        [preset, file, row] => open(&config(preset)?, Path::new(file), row.parse()?),
        _ => {
            Err("expected a preset and a file, such as improved_imagenet64 model.safetensors"
                .into())
        }
    }
}

fn config(preset: &str) -> Result<ModelConfig> {
    Ok(ModelConfig::preset(preset).ok_or("expected a preset")?)
}

fn rows(preset: &String, file: &String) -> Result<()> {
    if !Path::new(file).exists() {
        let network = config(preset)?.build(Kind::Float, Device::Cpu)?;
        StateDict::of(network.params()).save(Path::new(file))?;
    }
    let names = ROWS.map(|(name, ..)| name);
    table(preset, &["CPU s", "wall s", "peak MiB"], &names, &[preset, file])
}

fn open(config: &ModelConfig, file: &Path, row: usize) -> Result<()> {
    let (_, kind, initialised) = ROWS[row];
    let begun = Instant::now();
    let mut weights = StateDict::open(file)?;
    if initialised {
        let network = config.build(Kind::Float, Device::Cpu)?;
        load(network.params(), &weights, &[])?;
        if kind != Kind::Float {
            // A network in half precision was built a second time, from the one in f32.
            let half = config.build(kind, Device::Cpu)?;
            load(half.params(), &StateDict::of(network.params()), &[])?;
        }
    } else {
        let network = config.build_uninitialized(kind, Device::Cpu)?;
        load_shared(network.params(), &mut weights, &[])?;
    }
    let (wall, peak) = (begun.elapsed().as_secs_f64(), peak_mib().ok_or("no VmHWM")?);
    println!("{:.2} {wall:.2} {peak:.0}", cpu_seconds()?);
    Ok(())
}

/// User and system time of this process.
fn cpu_seconds() -> Result<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> =
        stat.rsplit(')').next().ok_or("no fields")?.split_whitespace().collect();
    let ticks = fields[11].parse::<f64>()? + fields[12].parse::<f64>()?;
    Ok(ticks / 100.0)
}
