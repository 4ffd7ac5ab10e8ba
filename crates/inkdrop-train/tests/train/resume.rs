//! Resumed runs equal uninterrupted ones, for every option that has state.

use inkdrop_checkpoint::StateDict;
use inkdrop_data::{InMemoryDataset, Labels, sprites};
use inkdrop_process::{LossType, Process, ProcessConfig, Variance};
use inkdrop_schedule::ScheduleConfig;
use inkdrop_torch::DefaultGenerator;
use inkdrop_torch::tch::{Device, Kind};
use inkdrop_train::{
    EmaDecay, GroupConfig, LabelUse, NoCallback, OtherData, Outcome, Precision, RunFolder,
    TimestepConfig, TrainConfig, Trainer,
};
use inkdrop_unet::{ImageSize, ImprovedConfig, ModelConfig};
use tempfile::TempDir;

use super::support::{StopAfter, build, checkpoints, config, equal, trainer};

/// A config with every option that has state: learned variances, few timesteps so that importance
/// sampling starts early, dropout, several EMAs, parameter groups, microbatches.
pub fn everything(precision: Precision) -> TrainConfig {
    let bias = vec!["*.bias".to_string()];
    TrainConfig {
        batch: 20,
        microbatch: Some(8),
        lr_schedule: inkdrop_train::LrSchedule::Cosine,
        warm_up: 3,
        weight_decay: 0.01,
        groups: vec![GroupConfig { names: bias, lr: 2.0, weight_decay: Some(0.0) }],
        clip_norm: Some(1.0),
        ema: [
            "0.9",
            "0",
            "0.99:start=3",
            "power=0.1",
            "0.9:ema-pytorch:update-after-step=4:update-every=3",
            "halflife-kimg=1:rampup-ratio=0.5",
        ]
        .map(|rule| rule.parse().unwrap())
        .to_vec(),
        precision,
        label_dropout: 0.3,
        timesteps: TimestepConfig::LossSecondMoment,
        loss: LossType::RescaledKl,
        flip: true,
        workers: 2,
        ..config(12)
    }
}

pub fn improved(config: TrainConfig) -> Trainer {
    let model = ModelConfig::Improved(ImprovedConfig {
        size: ImageSize::square(16),
        features: 32,
        multipliers: vec![1.0],
        blocks: 1,
        attention: vec![],
        classes: Some(6),
        dropout: 0.2,
        ..ImprovedConfig::cifar10()
    });
    let data = sprites::dataset(0, 50);
    let ids = (0..50).map(|i| i % 5).collect();
    let data = InMemoryDataset::new(data.images, Labels::Classes { ids, count: 5 }).unwrap();
    let process = ProcessConfig {
        schedule: ScheduleConfig::cosine(4),
        variance: Variance::LearnedRange,
        ..ProcessConfig::sprites()
    };
    let _generator = DefaultGenerator::seeded(5);
    let network = model.build(config.precision.torso(), Device::Cpu).unwrap();
    let ema_network = model.build_uninitialized(Kind::Float, Device::Cpu).unwrap();
    let process = Process::new(&process, Device::Cpu).unwrap();
    let builder = Trainer::builder(network, ema_network, process, data);
    builder.labels(LabelUse::Classes { null: Some(5) }).build(config).unwrap()
}

#[test]
fn a_run_with_everything_goes_on_as_if_it_had_not_been_stopped() {
    for precision in [Precision::F32, Precision::F16] {
        let config = everything(precision);
        let mut whole = improved(config.clone());
        whole.run(None, &mut NoCallback).unwrap();
        let folder = TempDir::new().unwrap();
        let folder = RunFolder::create(&folder.path().join("run")).unwrap();
        // Twice: once before the second moments count (40 draws fill them at step 9 or so).
        for stop in [4, 11] {
            let mut part = improved(config.clone());
            if let Some(path) = folder.latest() {
                part.restore(&path, OtherData::Refused).unwrap();
            }
            let outcome = part.run(Some(&folder), &mut StopAfter(stop, 0)).unwrap();
            assert_eq!(outcome, Outcome::Stopped);
            assert_eq!(part.step(), stop);
        }
        let mut last = improved(config.clone());
        last.restore(&folder.latest().unwrap(), OtherData::Refused).unwrap();
        last.run(Some(&folder), &mut NoCallback).unwrap();
        for &rule in &config.ema {
            let (ours, theirs) =
                (last.ema_weights(rule).unwrap(), whole.ema_weights(rule).unwrap());
            for (key, tensor) in theirs.iter() {
                assert_eq!(ours.get(key), Some(tensor), "{rule}: {key}");
            }
        }
        let (ours, theirs) = (last.state().unwrap(), whole.state().unwrap());
        for (key, tensor) in theirs.iter() {
            assert_eq!(ours.get(key), Some(tensor), "{key}");
        }
    }
}

/// The learning rate would be negative there.
#[test]
fn no_step_is_taken_after_the_last_one() {
    let temporary = TempDir::new().unwrap();
    let folder = RunFolder::create(&temporary.path().join("run")).unwrap();
    trainer(config(3)).run(Some(&folder), &mut NoCallback).unwrap();
    let mut shorter = trainer(config(2));
    shorter.restore(&folder.latest().unwrap(), OtherData::Refused).unwrap();
    assert!(shorter.run_steps(5).unwrap().is_empty());
    assert_eq!(shorter.step(), 3);
}

#[test]
fn milestones_are_kept_beside_the_newest() {
    let temporary = TempDir::new().unwrap();
    let folder = RunFolder::create(&temporary.path().join("run")).unwrap();
    let config = TrainConfig { checkpoint_every: 1, keep_every: 4, ..config(11) };
    trainer(config).run(Some(&folder), &mut NoCallback).unwrap();
    let names = checkpoints(&folder);
    let numbers: Vec<&str> = names.iter().map(|name| &name[9..12]).collect();
    assert_eq!(numbers, ["004", "008", "010", "011"]);
}

#[test]
fn an_added_decay_begins_as_the_weights() {
    let temporary = TempDir::new().unwrap();
    let folder = RunFolder::create(&temporary.path().join("run")).unwrap();
    trainer(config(2)).run(Some(&folder), &mut NoCallback).unwrap();
    let rules = vec![EmaDecay::constant(0.5), EmaDecay::with_warmup(0.999)];
    let mut more = trainer(TrainConfig { ema: rules.clone(), ..config(2) });
    more.restore(&folder.latest().unwrap(), OtherData::Refused).unwrap();
    let state = StateDict::open(&folder.latest().unwrap()).unwrap();
    for (rule, part) in rules.into_iter().zip(["network.", "average/0.999:warm-up/"]) {
        let saved = state.below(part);
        for (key, tensor) in more.ema_weights(rule).unwrap().iter() {
            assert_eq!(saved.get(key), Some(tensor), "{rule}: {key}");
        }
    }
}

#[test]
fn a_run_begins_with_the_weights_of_another() {
    let other = build();
    let mut trainer = trainer(config(4));
    trainer.start_from(&StateDict::of(other.params()), &[]).unwrap();
    assert!(equal(trainer.ema_network().params(), other.params()));
    assert!(trainer.start_ema_from(EmaDecay::constant(0.1), &StateDict::default()).is_err());
    let error = trainer.start_from(&StateDict::default(), &[]).unwrap_err().to_string();
    assert!(error.contains("missing"), "{error}");
    trainer.start_at(3).unwrap();
    assert_eq!(trainer.step(), 3);
    assert!(trainer.start_at(4).is_err());
}

/// A run with an optimizer state under PyTorch's names continues as the run of that state.
#[test]
fn a_run_goes_on_with_pytorchs_optimiser() {
    let mut whole = trainer(config(6));
    whole.run_steps(4).unwrap();
    let state = whole.state().unwrap();
    let mut optimiser = StateDict::default();
    let network = state.below("network.");
    let mut number = 0;
    for param in build().params().trained() {
        for (ours, theirs) in [("mean", "exp_avg"), ("square", "exp_avg_sq")] {
            let tensor = state.get(&format!("adam.{ours}.{}", param.name)).unwrap();
            optimiser.insert(format!("state.{number}.{theirs}"), tensor.copy());
        }
        let step = inkdrop_torch::tch::Tensor::from(4.0f32);
        optimiser.insert(format!("state.{number}.step"), step);
        number += 1;
    }
    let order: Vec<String> = build().params().names().map(str::to_string).collect();
    let rule = EmaDecay::with_warmup(0.999);
    let average = whole.ema_weights(rule).unwrap();
    let mut other = trainer(config(6));
    other.start_from(&network, &[]).unwrap();
    other.start_ema_from(rule, &average).unwrap();
    other.start_at(4).unwrap();
    other.start_optimizer_from(&optimiser, &order).unwrap();
    whole.run(None, &mut NoCallback).unwrap();
    other.run(None, &mut NoCallback).unwrap();
    assert!(equal(whole.ema_network().params(), other.ema_network().params()));

    let error = other.start_optimizer_from(&StateDict::default(), &order).unwrap_err().to_string();
    assert!(error.contains("state.0.exp_avg"), "{error}");
    optimiser.insert(format!("state.{number}.exp_avg"), inkdrop_torch::tch::Tensor::from(0.0f32));
    assert!(other.start_optimizer_from(&optimiser, &order).is_err(), "one weight too many");
    let error = other.start_optimizer_from(&optimiser, &order[1..]).unwrap_err();
    assert!(matches!(error, inkdrop_train::TrainError::Order { .. }), "{error}");
}
