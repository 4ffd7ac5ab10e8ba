//! Small networks, configs and runs.

use inkdrop_data::LabelledDataset;
use inkdrop_data::sprites;
use inkdrop_nn::{Params, TrainableNetwork};
use inkdrop_process::{Process, ProcessConfig};
use inkdrop_torch::DefaultGenerator;
use inkdrop_torch::tch::{Device, Kind};
use inkdrop_train::{
    LabelUse, RunFolder, StepMetrics, TrainConfig, Trainer, TrainerBuilder, TrainerCallback,
};
use inkdrop_unet::{ContextConfig, ModelConfig};

pub fn build() -> Box<dyn TrainableNetwork> {
    let config = ContextConfig { features: 8, ..ContextConfig::sprites() };
    ModelConfig::Context(config).build(Kind::Float, Device::Cpu).unwrap()
}

pub fn config(steps: usize) -> TrainConfig {
    TrainConfig {
        steps,
        batch: 6,
        checkpoint_every: 2,
        log_every: 2,
        sample_every: 0,
        ..TrainConfig::default()
    }
}

pub fn sprites_process() -> Process {
    Process::new(&ProcessConfig::sprites(), Device::Cpu).unwrap()
}

/// A small network on twenty sprites; the same weights at every call.
pub fn builder() -> TrainerBuilder {
    builder_on(sprites::dataset(0, 20))
}

/// A small network on this data; the same weights at every call.
pub fn builder_on(data: impl Into<LabelledDataset>) -> TrainerBuilder {
    let _generator = DefaultGenerator::seeded(11);
    Trainer::builder(build(), build(), sprites_process(), data).labels(LabelUse::Context)
}

pub fn trainer(config: TrainConfig) -> Trainer {
    builder().build(config).unwrap()
}

/// A class-conditional network; built from the same seed for each precision.
pub fn classes(config: TrainConfig, model: &ModelConfig, data: LabelledDataset) -> Trainer {
    let null = model.classes().map(|count| count - 1);
    let _generator = DefaultGenerator::seeded(11);
    let network = model.build(config.precision.torso(), Device::Cpu).unwrap();
    let ema_network = model.build_uninitialized(Kind::Float, Device::Cpu).unwrap();
    let builder = Trainer::builder(network, ema_network, sprites_process(), data);
    builder.labels(LabelUse::Classes { null }).build(config).unwrap()
}

pub fn equal(a: &Params, b: &Params) -> bool {
    a.iter().zip(b.iter()).all(|(a, b)| a.name == b.name && a.tensor == b.tensor)
}

/// How far two networks are apart, at most.
pub fn apart(a: &Params, b: &Params) -> f64 {
    let worst = a.iter().zip(b.iter()).map(|(a, b)| {
        let difference = a.tensor.to_kind(Kind::Double) - b.tensor.to_kind(Kind::Double);
        difference.abs().max().double_value(&[])
    });
    worst.fold(0.0, f64::max)
}

/// Keeps the losses.
#[derive(Default)]
pub struct Losses(pub Vec<f64>);

impl TrainerCallback for Losses {
    fn on_step(&mut self, metrics: &StepMetrics) {
        self.0.push(metrics.loss);
    }
}

/// Stops after a number of steps, as Ctrl-C does.
pub struct StopAfter(pub usize, pub usize);

impl TrainerCallback for StopAfter {
    fn on_step(&mut self, metrics: &StepMetrics) {
        self.1 = metrics.step;
    }

    fn should_stop(&self) -> bool {
        self.1 >= self.0
    }
}

/// The names of a run's checkpoints, rising.
pub fn checkpoints(folder: &RunFolder) -> Vec<String> {
    let entries = folder.checkpoints().read_dir().unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}
