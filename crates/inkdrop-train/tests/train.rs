//! Laws of the training run.
#![allow(missing_docs, clippy::unwrap_used)]

use std::fs;
use std::path::Path;
use std::sync::{Mutex, MutexGuard};

use inkdrop_checkpoint::Weights;
use inkdrop_data::sprites;
use inkdrop_nn::{Init, Network, Params};
use inkdrop_process::{Process, ProcessConfig};
use inkdrop_torch::tch::{Device, Kind, Tensor, manual_seed};
use inkdrop_train::{
    Adam, Ema, LrSchedule, Outcome, RunFolder, Silent, StepReport, TrainConfig, TrainError,
    Trainer, Watcher,
};
use inkdrop_unet::{ContextConfig, ModelConfig};
use tempfile::TempDir;

/// libtorch has one global generator, which a step seeds and draws from.
static GENERATOR: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    GENERATOR.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

fn build() -> Box<dyn Network> {
    let config = ContextConfig { features: 8, ..ContextConfig::sprites() };
    ModelConfig::Context(config).build(Kind::Float, Device::Cpu).unwrap()
}

fn config(steps: usize) -> TrainConfig {
    TrainConfig {
        steps,
        batch: 6,
        checkpoint_every: 2,
        log_every: 2,
        sample_every: 0,
        ..TrainConfig::default()
    }
}

fn trainer(config: TrainConfig) -> Trainer {
    manual_seed(11);
    let process = Process::new(&ProcessConfig::sprites(), Device::Cpu).unwrap();
    Trainer::new(build(), build(), process, sprites::dataset(0, 20), config).unwrap()
}

fn equal(a: &Params, b: &Params) -> bool {
    a.iter().zip(b.iter()).all(|(a, b)| a.name == b.name && a.tensor == b.tensor)
}

/// Five steps on Σ c·p², c = (1, 0.1, 3), in PyTorch 2.11: torch.optim.Adam(lr=0.1), and
/// torch.optim.AdamW(lr=0.1, weight_decay=0.2).
#[test]
fn adam_and_adamw_step_as_pytorchs_do() {
    for (decay, expected) in [
        (0.0, [0.507963717, -1.50295579, 0.0278144255]),
        (0.2, [0.433738261, -1.33190763, 0.00366744399]),
    ] {
        let mut params = Params::new(Kind::Float, Device::Cpu);
        let p = params.root().weight("p", &[3], Init::Constant(0.0)).unwrap();
        inkdrop_torch::tch::no_grad(|| {
            p.shallow_clone().copy_(&Tensor::from_slice(&[1.0f32, -2.0, 0.5]))
        });
        let mut adam = Adam::new(&params).unwrap().with_weight_decay(decay);
        for _ in 0..5 {
            adam.zero_grad();
            (p.square() * Tensor::from_slice(&[1.0f32, 0.1, 3.0])).sum(Kind::Float).backward();
            adam.step(0.1).unwrap();
        }
        for (i, expected) in expected.into_iter().enumerate() {
            assert!((p.double_value(&[i as i64]) - expected).abs() < 2e-7, "decay {decay}");
        }
    }
}

/// torch.nn.utils.clip_grad_norm_(2.0) of gradients (3, 4, 0) and (12): a norm of 13.
#[test]
fn long_gradients_are_scaled_down_together() {
    let mut params = Params::new(Kind::Float, Device::Cpu);
    let a = params.root().weight("a", &[3], Init::Constant(1.0)).unwrap();
    let b = params.root().weight("b", &[1], Init::Constant(1.0)).unwrap();
    let mut adam = Adam::new(&params).unwrap();
    for (most, factor) in [(2.0, 2.0 / 13.000001), (20.0, 1.0)] {
        adam.zero_grad();
        let slopes = Tensor::from_slice(&[3.0f32, 4.0, 0.0]);
        ((&*a * slopes).sum(Kind::Float) + (&*b * 12.0).sum(Kind::Float)).backward();
        adam.clip_gradients(most).unwrap();
        let (a, b) = (a.grad(), b.grad());
        assert!((a.double_value(&[1]) - 4.0 * factor).abs() < 1e-6);
        assert!((b.double_value(&[0]) - 12.0 * factor).abs() < 1e-6);
    }
}

#[test]
fn rates_rise_and_fall_as_they_are_named() {
    let rates = |lr_schedule, warm_up| {
        let config = TrainConfig { steps: 4, lr: 0.8, lr_schedule, warm_up, ..config(4) };
        (0..=4).map(|step| config.lr_at(step)).collect::<Vec<f64>>()
    };
    let near = |ours: Vec<f64>, theirs: [f64; 5]| {
        assert!(ours.iter().zip(theirs).all(|(a, b)| (a - b).abs() < 1e-12), "{ours:?}");
    };
    near(rates(LrSchedule::Constant, 0), [0.8; 5]);
    near(rates(LrSchedule::Constant, 4), [0.2, 0.4, 0.6, 0.8, 0.8]);
    near(rates(LrSchedule::Linear, 2), [0.4, 0.6, 0.4, 0.2, 0.0]);
    let half = 0.4 * (1.0 + std::f64::consts::FRAC_1_SQRT_2);
    near(rates(LrSchedule::Cosine, 0), [0.8, half, 0.4, 0.8 - half, 0.0]);
}

#[test]
fn the_average_warms_up_then_decays() {
    let _lock = alone();
    let live = build();
    let key = "out.3.bias";
    let value = |params: &Params| params.get(key).unwrap().tensor.double_value(&[0]);
    let mut ema = Ema::new(build(), live.params(), 0.5).unwrap();
    assert!(equal(ema.network().params(), live.params()), "it starts as the weights");
    let start = value(live.params());
    inkdrop_torch::tch::no_grad(|| {
        let _ = live.params().get(key).unwrap().tensor.shallow_clone().fill_(start + 1.0);
    });
    ema.update(0).unwrap(); // keeps (1 + 0)/(10 + 0) of the past
    assert!((value(ema.network().params()) - (start + 0.9)).abs() < 1e-6);
    ema.update(1000).unwrap(); // keeps a half
    assert!((value(ema.network().params()) - (start + 0.95)).abs() < 1e-6);
    let mut plain = Ema::new(build(), ema.network().params(), 0.5).unwrap().without_warm_up();
    inkdrop_torch::tch::no_grad(|| {
        let average = ema.network().params().get(key).unwrap();
        let _ = average.tensor.shallow_clone().fill_(start);
    });
    plain.update(0).unwrap(); // keeps a half at once
    assert!((value(plain.network().params()) - (start + 0.475)).abs() < 1e-6);
}

#[test]
fn training_makes_the_loss_smaller_on_a_line_to_zero() {
    let config = TrainConfig { steps: 4, lr: 0.8, ..TrainConfig::default() };
    let rates: Vec<f64> = (0..=4).map(|step| config.lr_at(step)).collect();
    assert!(rates.iter().zip([0.8, 0.6, 0.4, 0.2, 0.0]).all(|(a, b)| (a - b).abs() < 1e-12));
}

#[test]
fn training_makes_the_loss_smaller() {
    struct Losses(Vec<f64>);
    impl Watcher for Losses {
        fn on_step(&mut self, report: &StepReport) {
            self.0.push(report.loss);
        }
    }
    let _lock = alone();
    let mut losses = Losses(Vec::new());
    trainer(config(40)).run(None, &mut losses).unwrap();
    let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
    let (first, last) = (mean(&losses.0[..5]), mean(&losses.0[35..]));
    assert!(last < 0.8 * first, "from {first} to {last}");
}

#[test]
fn a_seed_means_one_run() {
    let _lock = alone();
    let run = |config: TrainConfig| {
        let mut trainer = trainer(config);
        trainer.run(None, &mut Silent).unwrap();
        trainer
    };
    let first = run(config(3));
    assert!(equal(first.average().params(), run(config(3)).average().params()));
    let other = run(TrainConfig { seed: 1, ..config(3) });
    assert!(!equal(first.average().params(), other.average().params()));
}

/// Stops after a number of steps, as Ctrl-C does.
struct StopAfter(usize, usize);

impl Watcher for StopAfter {
    fn on_step(&mut self, report: &StepReport) {
        self.1 = report.step;
    }

    fn should_stop(&self) -> bool {
        self.1 >= self.0
    }
}

#[test]
fn a_stopped_run_goes_on_as_if_it_had_not_been() {
    let _lock = alone();
    let whole = {
        let mut trainer = trainer(config(7));
        trainer.run(None, &mut Silent).unwrap();
        trainer
    };
    let folder = TempDir::new().unwrap();
    let folder = RunFolder::create(&folder.path().join("run")).unwrap();
    let mut first = trainer(config(7));
    assert_eq!(first.run(Some(&folder), &mut StopAfter(3, 0)).unwrap(), Outcome::Stopped);
    let mut second = trainer(config(7));
    second.restore(&folder.latest().unwrap()).unwrap();
    assert_eq!(second.step(), 3);
    assert_eq!(second.run(Some(&folder), &mut Silent).unwrap(), Outcome::Finished);
    assert!(equal(whole.average().params(), second.average().params()));
    assert_eq!(steps_of(&folder.log()), [2, 4, 6, 7], "the log has no line twice");
}

fn steps_of(log: &Path) -> Vec<u64> {
    let line = |line: &str| {
        serde_json::from_str::<serde_json::Value>(line).unwrap()["step"].as_u64().unwrap()
    };
    fs::read_to_string(log).unwrap().lines().map(line).collect()
}

#[test]
fn the_log_forgets_a_future_that_was_lost() {
    let _lock = alone();
    let temporary = TempDir::new().unwrap();
    let folder = RunFolder::create(&temporary.path().join("run")).unwrap();
    trainer(config(6)).run(Some(&folder), &mut Silent).unwrap();
    assert_eq!(steps_of(&folder.log()), [2, 4, 6]);
    fs::remove_file(folder.latest().unwrap()).unwrap(); // back to step 4
    let torn = fs::read_to_string(folder.log()).unwrap() + "{\"step\": 8, \"lo";
    fs::write(folder.log(), torn).unwrap();
    let mut again = trainer(config(6));
    again.restore(&folder.latest().unwrap()).unwrap();
    again.run(Some(&folder), &mut Silent).unwrap();
    assert_eq!(steps_of(&folder.log()), [2, 4, 6]);
}

#[test]
fn only_the_newest_checkpoints_are_kept() {
    let _lock = alone();
    let temporary = TempDir::new().unwrap();
    let folder = RunFolder::create(&temporary.path().join("run")).unwrap();
    trainer(config(9)).run(Some(&folder), &mut Silent).unwrap();
    let mut names: Vec<String> = folder
        .checkpoints()
        .read_dir()
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["step-0000008.safetensors", "step-0000009.safetensors"]);
}

/// A step that ruins the weights is found before they are saved: the checkpoint before it goes on.
#[test]
fn a_nan_stops_and_keeps_the_last_good_checkpoint() {
    let _lock = alone();
    let temporary = TempDir::new().unwrap();
    let folder = RunFolder::create(&temporary.path().join("run")).unwrap();
    let every = TrainConfig { checkpoint_every: 1, ..config(50) };
    trainer(every.clone()).run(Some(&folder), &mut StopAfter(3, 0)).unwrap();
    let good = folder.latest().unwrap();

    let mut ruined = trainer(TrainConfig { lr: 1e30, ..every.clone() });
    ruined.restore(&good).unwrap();
    let error = ruined.run(Some(&folder), &mut Silent).unwrap_err();
    let TrainError::NotFinite { step, kept, .. } = &error else { panic!("{error}") };
    assert_eq!(*step, 5, "step 4 ruined the weights");
    assert!(kept.contains(&good.display().to_string()), "{kept}");
    assert_eq!(folder.latest().unwrap(), good);

    let mut again = trainer(TrainConfig { steps: 6, ..every });
    again.restore(&good).unwrap();
    assert_eq!(again.run(Some(&folder), &mut Silent).unwrap(), Outcome::Finished);
}

#[test]
fn a_folder_holds_one_run() {
    let temporary = TempDir::new().unwrap();
    let path = temporary.path().join("run");
    assert!(matches!(RunFolder::open(&path), Err(TrainError::NothingToResume { .. })));
    let folder = RunFolder::create(&path).unwrap();
    fs::write(folder.config(), "x").unwrap();
    assert!(matches!(RunFolder::create(&path), Err(TrainError::Occupied(_))));
    assert!(matches!(RunFolder::open(&path), Err(TrainError::InUse(_))));
    drop(folder);
    assert!(RunFolder::open(&path).is_ok());
}

/// Killed before its first file was whole, a run has left no run behind.
#[test]
fn an_empty_folder_can_be_begun_again() {
    let temporary = TempDir::new().unwrap();
    let path = temporary.path().join("run");
    RunFolder::create(&path).unwrap();
    fs::write(path.join(".config.toml.Xy12z"), "half").unwrap();
    assert!(RunFolder::create(&path).is_ok());
}

#[test]
fn a_checkpoint_of_another_network_is_refused() {
    let _lock = alone();
    let temporary = TempDir::new().unwrap();
    let path = temporary.path().join("other.safetensors");
    let mut other = Weights::of(build().params());
    other.save(&path).unwrap();
    let error = trainer(config(2)).restore(&path).unwrap_err().to_string();
    assert!(error.contains("no training checkpoint"), "{error}");
    other.set_metadata("step", &3).unwrap();
    other.save(&path).unwrap();
    assert!(trainer(config(2)).restore(&path).unwrap_err().to_string().contains("missing"));
}

#[test]
fn recipes_that_cannot_be_name_the_field() {
    let text = |config: TrainConfig| config.check().unwrap_err().to_string();
    assert_eq!(text(config(0)), "train.steps = 0: expected at least 1");
    assert!(text(TrainConfig { batch: 0, ..config(1) }).contains("train.batch = 0"));
    assert!(text(TrainConfig { lr: -1.0, ..config(1) }).contains("train.lr = -1"));
    assert!(text(TrainConfig { lr: f64::NAN, ..config(1) }).contains("train.lr = NaN"));
    assert!(text(TrainConfig { ema_decay: 1.0, ..config(1) }).contains("0 to below 1"));
    assert!(text(TrainConfig { context_keep: 1.5, ..config(1) }).contains("train.context_keep"));
    config(1).check().unwrap();
}
