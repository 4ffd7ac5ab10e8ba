//! Small networks, recipes and runs.

use std::sync::{Mutex, MutexGuard};

use inkdrop_data::source::LabelledSource;
use inkdrop_data::sprites;
use inkdrop_nn::{Params, TrainableNetwork};
use inkdrop_process::{Process, ProcessConfig};
use inkdrop_torch::tch::{Device, Kind, manual_seed};
use inkdrop_train::{LabelUse, Parts, RunFolder, StepReport, TrainConfig, Trainer, Watcher};
use inkdrop_unet::{ContextConfig, ModelConfig};

/// libtorch has one global generator, which a step seeds and draws from.
static GENERATOR: Mutex<()> = Mutex::new(());

pub fn alone() -> MutexGuard<'static, ()> {
    GENERATOR.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

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

/// The parts of a run on twenty sprites.
pub fn parts() -> Parts {
    manual_seed(11);
    Parts {
        network: build(),
        average: build(),
        process: Process::new(&ProcessConfig::sprites(), Device::Cpu).unwrap(),
        image: [3, 16, 16],
        data: sprites::dataset(0, 20).into(),
        labels: LabelUse::Context,
        names: Vec::new(),
        validation: None,
    }
}

pub fn trainer(config: TrainConfig) -> Trainer {
    Trainer::new(parts(), config).unwrap()
}

/// A run of a network that is told classes; built anew from the same seed for the same kind.
pub fn classes(config: TrainConfig, model: &ModelConfig, data: LabelledSource) -> Trainer {
    let null = model.classes().map(|count| count - 1);
    manual_seed(11);
    let parts = Parts {
        network: model.build(config.precision.torso(), Device::Cpu).unwrap(),
        average: model.build_uninitialized(Kind::Float, Device::Cpu).unwrap(),
        data,
        labels: LabelUse::Classes { null },
        ..parts()
    };
    Trainer::new(parts, config).unwrap()
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

impl Watcher for Losses {
    fn on_step(&mut self, report: &StepReport) {
        self.0.push(report.loss);
    }
}

/// Stops after a number of steps, as Ctrl-C does.
pub struct StopAfter(pub usize, pub usize);

impl Watcher for StopAfter {
    fn on_step(&mut self, report: &StepReport) {
        self.1 = report.step;
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
