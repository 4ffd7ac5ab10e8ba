//! Shared setup of the benchmarks: networks, their inputs, a training step, measurements of memory.
//!
//! ```
//! let network = inkdrop_benches::network();
//! assert_eq!(network.params().trained_count(), 1_481_027);
//! ```

pub mod cases;
pub mod step;

use std::error::Error;
use std::fs;
use std::process::Command;

use inkdrop_nn::{FnNetwork, Network, TrainableNetwork};
use inkdrop_process::{Process, ProcessConfig, TimeInput, Variance};
use inkdrop_schedule::ScheduleConfig;
use inkdrop_torch::tch::{Device, Kind, Tensor};
use inkdrop_unet::{ContextConfig, ModelConfig};

/// Result with any error as text.
pub type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// The sprites network with random weights, on the CPU.
///
/// # Panics
/// libtorch cannot allocate it.
pub fn network() -> Box<dyn TrainableNetwork> {
    let config = ModelConfig::Context(ContextConfig::sprites());
    config.build(Kind::Float, Device::Cpu).expect("the sprites network builds")
}

/// The sprites process, on the CPU.
///
/// # Panics
/// libtorch cannot allocate its tables.
pub fn process() -> Process {
    Process::new(&ProcessConfig::sprites(), Device::Cpu).expect("the sprites process is valid")
}

/// The process of a preset: the sprites notebook's, or that of Ho et al. 2020.
pub fn process_of(config: &ModelConfig) -> ProcessConfig {
    if matches!(config, ModelConfig::Context(_)) {
        return ProcessConfig::sprites();
    }
    let [channels, ..] = config.image_shape();
    let learned = config.outputs() > channels;
    ProcessConfig {
        schedule: ScheduleConfig::linear(1000),
        time: TimeInput::Index,
        variance: if learned { Variance::LearnedRange } else { Variance::FixedLarge },
        clip: true,
        ..ProcessConfig::sprites()
    }
}

/// Noise, times and contexts for a batch: [B, 3, 16, 16], `[B]`, [B, 5].
pub fn inputs(batch: i64) -> (Tensor, Tensor, Tensor) {
    let f32 = (Kind::Float, Device::Cpu);
    let classes = Tensor::arange(batch, (Kind::Int64, Device::Cpu)).remainder(5);
    let context = classes.one_hot(5).to_kind(Kind::Float);
    (Tensor::randn([batch, 3, 16, 16], f32), Tensor::rand([batch], f32), context)
}

/// A network that returns x without a copy, to measure the cost of samplers alone.
pub fn idle() -> impl Network {
    FnNetwork::new(|x, _, _| Ok(x.shallow_clone()))
}

/// Dropout rate and gradient checkpointing of a config; `None` if the family has not both.
pub fn training_options(config: &mut ModelConfig) -> Option<(&mut f64, &mut bool)> {
    match config {
        ModelConfig::Context(_) | ModelConfig::Dit(_) => None,
        ModelConfig::Ddpm(config) => Some((&mut config.dropout, &mut config.checkpoint)),
        ModelConfig::Edm(config) => Some((&mut config.dropout, &mut config.checkpoint)),
        ModelConfig::Edm2(config) => Some((&mut config.dropout, &mut config.checkpoint)),
        ModelConfig::Improved(config) | ModelConfig::ImprovedSuperRes(config) => {
            Some((&mut config.dropout, &mut config.checkpoint))
        }
        ModelConfig::Unet2d(config) => Some((&mut config.dropout, &mut config.checkpoint)),
        ModelConfig::Lucid(config) => Some((&mut config.dropout, &mut config.checkpoint)),
    }
}

/// Peak resident memory of this process; `None` if the system does not report it.
pub fn peak_mib() -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kib: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib / 1024.0)
}

/// Prints a table whose rows are processes of their own: this program, with the row's number as the
/// last argument, prints the figures of the row.
///
/// # Errors
/// A process fails or prints another number of figures.
pub fn table(title: &str, columns: &[&str], rows: &[&str], arguments: &[&String]) -> Result<()> {
    let line = |name: &str, figures: &[&str]| {
        let figures: String = figures.iter().map(|figure| format!(" {figure:>10}")).collect();
        println!("{name:<26}{figures}");
    };
    line(title, columns);
    for (row, name) in rows.iter().enumerate() {
        let mut program = Command::new(std::env::current_exe()?);
        let output = program.args(arguments).arg(row.to_string()).output()?;
        let text = String::from_utf8(output.stdout)?;
        let figures: Vec<_> = text.split_whitespace().collect();
        if figures.len() != columns.len() {
            return Err(String::from_utf8(output.stderr)?.into());
        }
        line(name, &figures);
    }
    Ok(())
}
