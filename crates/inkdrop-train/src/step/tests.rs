//! Reading a step's numbers late changes nothing but when they are known.
#![allow(clippy::unwrap_used)]

use std::sync::{Mutex, MutexGuard};

use inkdrop_data::sprites;
use inkdrop_nn::TrainableNetwork;
use inkdrop_process::{Process, ProcessConfig};
use inkdrop_unet::{ContextConfig, ModelConfig};
use tch::{Device, Kind, Tensor, manual_seed};

use crate::{
    LabelUse, LogLine, Outcome, Parts, StepReport, TrainConfig, TrainError, Trainer, Watcher,
    WatcherError,
};

/// libtorch has one global generator, which a step seeds and draws from.
fn alone() -> MutexGuard<'static, ()> {
    static GENERATOR: Mutex<()> = Mutex::new(());
    GENERATOR.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

fn trainer(late: bool) -> Trainer {
    manual_seed(3);
    let model = ModelConfig::Context(ContextConfig { features: 8, ..ContextConfig::sprites() });
    let build = || model.build(Kind::Float, Device::Cpu).unwrap();
    let data = inkdrop_data::source::LabelledSource::from(sprites::dataset(0, 12));
    let parts = Parts {
        network: build(),
        average: build(),
        process: Process::new(&ProcessConfig::sprites(), Device::Cpu).unwrap(),
        image: [3, 16, 16],
        data,
        labels: LabelUse::Context,
        names: Vec::new(),
        validation: None,
    };
    let config = TrainConfig {
        steps: 9,
        batch: 4,
        log_every: 4,
        clip_norm: Some(0.5),
        ..TrainConfig::default()
    };
    let mut trainer = Trainer::new(parts, config).unwrap();
    trainer.reads_late = late;
    trainer
}

/// All that a run says.
#[derive(Default)]
struct Told {
    steps: Vec<(usize, f64, f64)>,
    lines: Vec<(usize, f64, f64)>,
}

impl Watcher for Told {
    fn on_step(&mut self, report: &StepReport) {
        self.steps.push((report.step, report.loss, report.lr));
    }

    fn on_log(&mut self, line: &LogLine) -> Result<(), WatcherError> {
        self.lines.push((line.step, line.loss, line.lr));
        Ok(())
    }
}

fn weights(network: &dyn TrainableNetwork) -> Vec<Tensor> {
    network.params().iter().map(|param| param.tensor.detach_copy()).collect()
}

#[test]
fn a_run_that_reads_late_is_the_run_that_reads_at_once() {
    let _alone = alone();
    let [at_once, late] = [false, true].map(|late| {
        let (mut trainer, mut told) = (trainer(late), Told::default());
        assert_eq!(trainer.run(None, &mut told).unwrap(), Outcome::Finished);
        (weights(trainer.network.as_ref()), weights(trainer.average()), told)
    });
    assert_eq!(at_once.2.steps.len(), 9);
    assert_eq!(at_once.2.steps, late.2.steps);
    assert_eq!(at_once.2.lines, late.2.lines);
    assert_eq!(at_once.2.lines.iter().map(|line| line.0).collect::<Vec<_>>(), [4, 8, 9]);
    assert!(at_once.0 == late.0 && at_once.1 == late.1, "the weights differ");
}

#[test]
fn a_step_that_is_read_late_is_told_of_with_the_next_one() {
    let _alone = alone();
    let (mut trainer, mut told) = (trainer(true), Told::default());
    assert!(trainer.advance().unwrap().is_none());
    assert_eq!(trainer.advance().unwrap().map(|seen| seen.step), Some(1));
    assert_eq!(trainer.catch_up().unwrap().map(|seen| seen.step), Some(2));
    assert!(trainer.catch_up().unwrap().is_none());
    trainer.run_steps(3, &mut told).unwrap();
    assert_eq!(told.steps.iter().map(|step| step.0).collect::<Vec<_>>(), [3, 4, 5]);
}

#[test]
fn a_broken_step_changes_no_weight_whenever_it_is_read() {
    let _alone = alone();
    for late in [false, true] {
        let mut trainer = trainer(late);
        trainer.run_steps(2, &mut crate::Silent).unwrap();
        let last = trainer.network.params().trained().last().unwrap();
        let mut bias = last.tensor.detach();
        let _ = bias.fill_(f64::NAN);
        let before = weights(trainer.network.as_ref());
        let error = trainer.run_steps(3, &mut crate::Silent).unwrap_err();
        assert!(matches!(error, TrainError::NotFinite { step: 3, .. }), "late: {late}, {error}");
        let trained = trainer.network.params().iter();
        for (param, before) in trained.zip(&before).filter(|(p, _)| !p.name.contains("running")) {
            if param.tensor.kind() == Kind::Float {
                let same = param.tensor.eq_tensor(before).logical_or(&before.isnan());
                assert_eq!(same.all().int64_value(&[]), 1, "late: {late}, {}", param.name);
            }
        }
    }
}
