//! Deferred metrics change nothing but the time at which they are read.
#![allow(clippy::unwrap_used)]

use inkdrop_data::sprites;
use inkdrop_nn::TrainableNetwork;
use inkdrop_process::{Process, ProcessConfig};
use inkdrop_torch::DefaultGenerator;
use inkdrop_torch::tch::{Device, Kind, Tensor};
use inkdrop_unet::{ContextConfig, ModelConfig};

use crate::data_parallel::tests::Two;
use crate::{
    CallbackError, LabelUse, LogLine, NoCallback, Outcome, StepMetrics, TrainConfig, TrainError,
    Trainer, TrainerCallback,
};

fn trainer(deferred: bool) -> Trainer {
    let _generator = DefaultGenerator::seeded(3);
    let model = ModelConfig::Context(ContextConfig { features: 8, ..ContextConfig::sprites() });
    let build = || model.build(Kind::Float, Device::Cpu).unwrap();
    let process = Process::new(&ProcessConfig::sprites(), Device::Cpu).unwrap();
    let data = sprites::dataset(0, 12);
    let builder = Trainer::builder(build(), build(), process, data).labels(LabelUse::Context);
    let config = TrainConfig {
        steps: 9,
        batch: 4,
        log_every: 4,
        clip_norm: Some(0.5),
        ..TrainConfig::default()
    };
    let mut trainer = builder.build(config).unwrap();
    trainer.deferred_metrics = deferred;
    trainer
}

/// The metrics and log lines of a run.
#[derive(Default)]
struct Recorded {
    steps: Vec<(usize, f64, f64)>,
    lines: Vec<(usize, f64, f64)>,
}

impl TrainerCallback for Recorded {
    fn on_step(&mut self, metrics: &StepMetrics) {
        self.steps.push((metrics.step, metrics.loss, metrics.lr));
    }

    fn on_log(&mut self, line: &LogLine) -> Result<(), CallbackError> {
        self.lines.push((line.step, line.loss, line.lr));
        Ok(())
    }
}

fn weights(network: &dyn TrainableNetwork) -> Vec<Tensor> {
    network.params().iter().map(|param| param.tensor.detach_copy()).collect()
}

#[test]
fn a_run_with_deferred_metrics_equals_one_without() {
    let [at_once, late] = [false, true].map(|deferred| {
        let (mut trainer, mut recorded) = (trainer(deferred), Recorded::default());
        assert_eq!(trainer.run(None, &mut recorded).unwrap(), Outcome::Finished);
        (weights(trainer.network.as_ref()), weights(trainer.ema_network()), recorded)
    });
    assert_eq!(at_once.2.steps.len(), 9);
    assert_eq!(at_once.2.steps, late.2.steps);
    assert_eq!(at_once.2.lines, late.2.lines);
    assert_eq!(at_once.2.lines.iter().map(|line| line.0).collect::<Vec<_>>(), [4, 8, 9]);
    assert!(at_once.0 == late.0 && at_once.1 == late.1, "the weights differ");
}

#[test]
fn deferred_metrics_come_with_the_next_step() {
    let mut trainer = trainer(true);
    assert!(trainer.train_step().unwrap().is_none());
    assert_eq!(trainer.train_step().unwrap().map(|metrics| metrics.step), Some(1));
    assert_eq!(trainer.flush_metrics().unwrap().map(|metrics| metrics.step), Some(2));
    assert!(trainer.flush_metrics().unwrap().is_none());
    let metrics = trainer.run_steps(3).unwrap();
    assert_eq!(metrics.iter().map(|metrics| metrics.step).collect::<Vec<_>>(), [3, 4, 5]);
    let rest: Vec<usize> = trainer.steps().map(|metrics| metrics.unwrap().step).collect();
    assert_eq!(rest, [6, 7, 8, 9]);
}

#[test]
fn a_broken_step_changes_no_weight_whenever_it_is_read() {
    for deferred in [false, true] {
        let mut trainer = trainer(deferred);
        trainer.run_steps(2).unwrap();
        let last = trainer.network.params().trained().last().unwrap();
        let mut bias = last.tensor.detach();
        let _ = bias.fill_(f64::NAN);
        let before = weights(trainer.network.as_ref());
        let error = trainer.run_steps(3).unwrap_err();
        assert!(matches!(error, TrainError::NotFinite { step: 3, .. }), "{deferred}, {error}");
        let trained = trainer.network.params().iter();
        for (param, before) in trained.zip(&before).filter(|(p, _)| !p.name.contains("running")) {
            if param.tensor.kind() == Kind::Float {
                let same = param.tensor.eq_tensor(before).logical_or(&before.isnan());
                assert_eq!(same.all().int64_value(&[]), 1, "{deferred}, {}", param.name);
            }
        }
    }
}

/// The three ways to train are one: steps by an iterator, a run as an iterator, and callbacks.
#[test]
fn an_iterator_trains_as_a_run_with_callbacks_does() {
    let mut with_callbacks = trainer(false);
    with_callbacks.run(None, &mut NoCallback).unwrap();
    let mut by_steps = trainer(false);
    assert_eq!(by_steps.steps().map(|metrics| metrics.unwrap().step).sum::<usize>(), 45);
    let mut by_run = trainer(false);
    let mut run = by_run.start_run(None).unwrap();
    let mut lines = Vec::new();
    while let Some(step) = run.next_step().unwrap() {
        lines.extend(step.log_line.map(|line| (line.step, line.loss)));
    }
    for other in [&by_steps, &by_run] {
        assert_eq!(weights(with_callbacks.ema_network()), weights(other.ema_network()));
    }
    assert_eq!(lines.iter().map(|line| line.0).collect::<Vec<_>>(), [4, 8, 9]);
    assert_eq!(by_run.loss_curve().downsampled(200), lines, "the loss curve is in memory");
    let [half] = by_run.loss_curve().downsampled(1)[..] else { panic!("one point") };
    let mean = lines.iter().map(|line| line.1).sum::<f64>() / 3.0;
    assert_eq!(half, (9, mean));
}

/// The second batch has one image, for the other process: the running statistics are halved by the average alone.
#[test]
fn a_stand_in_stays_out_of_the_running_statistics() {
    let _generator = DefaultGenerator::seeded(3);
    let model = ModelConfig::Context(ContextConfig { features: 8, ..ContextConfig::sprites() });
    let build = || model.build(Kind::Float, Device::Cpu).unwrap();
    let process = Process::new(&ProcessConfig::sprites(), Device::Cpu).unwrap();
    let builder = Trainer::builder(build(), build(), process, sprites::dataset(0, 5));
    let builder = builder.labels(LabelUse::Context).data_parallel(Box::new(Two(1.0)));
    let config =
        TrainConfig { steps: 2, batch: 4, sync_batch_norm: false, ..TrainConfig::default() };
    let mut trainer = builder.build(config).unwrap();
    let statistics = |trainer: &Trainer| -> Vec<Tensor> {
        trainer.master.statistics().into_iter().map(Tensor::copy).collect()
    };
    trainer.train_step().unwrap();
    let before = statistics(&trainer);
    trainer.train_step().unwrap();
    assert!(!before.is_empty());
    for (before, after) in before.iter().zip(statistics(&trainer)) {
        assert_eq!(before / 2.0, after);
    }
}
