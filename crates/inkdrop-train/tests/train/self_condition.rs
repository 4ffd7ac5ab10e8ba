//! Self-conditioning in training.

use inkdrop_data::sprites;
use inkdrop_process::{
    ConsistencyTraining, ContinuousConfig, DiffusionConfig, LossType, Preconditioning,
    PredictionType, Process, ProcessConfig, TimeInput, Variance, Weighting,
};
use inkdrop_schedule::ScheduleConfig;
use inkdrop_torch::DefaultGenerator;
use inkdrop_torch::tch::{Device, Kind};
use inkdrop_train::{NoCallback, OtherData, RunFolder, TrainConfig, Trainer};
use inkdrop_unet::{ImageSize, LucidConfig, ModelConfig};
use tempfile::TempDir;

use super::support::{Losses, StopAfter, config, equal};

fn process() -> Process {
    let config = ProcessConfig {
        schedule: ScheduleConfig::SigmoidLucid { steps: 100, start: -3.0, end: 3.0, tau: 1.0 },
        time: TimeInput::Index,
        prediction: PredictionType::Velocity,
        variance: Variance::FixedSmall,
        clip: true,
        consistency: None,
    };
    Process::new(&config, Device::Cpu).unwrap()
}

fn trainer(config: TrainConfig, self_condition: bool) -> Trainer {
    let model = ModelConfig::Lucid(LucidConfig {
        size: ImageSize::square(16),
        features: 8,
        multipliers: vec![1, 2],
        heads: vec![2],
        head_channels: vec![8],
        dropout: 0.1,
        self_condition,
        ..LucidConfig::readme()
    });
    let _generator = DefaultGenerator::seeded(11);
    let network = model.build(Kind::Float, Device::Cpu).unwrap();
    let ema_network = model.build_uninitialized(Kind::Float, Device::Cpu).unwrap();
    let builder = Trainer::builder(network, ema_network, process(), sprites::dataset(0, 20));
    builder.build(TrainConfig { weighting: Weighting::Snr, ..config }).unwrap()
}

fn losses(config: TrainConfig, self_condition: bool) -> Vec<f64> {
    let mut losses = Losses::default();
    trainer(config, self_condition).run(None, &mut losses).unwrap();
    losses.0
}

#[test]
fn the_loss_of_lucidrains_networks_falls() {
    for self_condition in [false, true] {
        let losses = losses(TrainConfig { lr: 3e-3, ..config(60) }, self_condition);
        let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
        let (first, last) = (mean(&losses[..10]), mean(&losses[50..]));
        assert!(last < 0.8 * first, "{first} to {last}, self-conditioned: {self_condition}");
    }
}

/// Of a few steps, some have a self-condition: they differ from those of a run without.
#[test]
fn the_probability_says_how_many_steps_have_a_condition() {
    let of = |self_condition| losses(TrainConfig { self_condition, ..config(8) }, true);
    let (never, sometimes, always) = (of(0.0), of(0.5), of(1.0));
    assert_ne!(never[0], always[0]);
    let first_differs = sometimes.iter().zip(&never).position(|(a, b)| a != b);
    assert!(first_differs.is_some() && sometimes != always, "{sometimes:?}");
    let wrong = TrainConfig { self_condition: 1.5, ..config(1) }.check().unwrap_err().to_string();
    assert!(wrong.contains("train.self_condition = 1.5"), "{wrong}");
}

/// The masks of dropout and the drawn condition do not depend on the division of the batch.
#[test]
fn microbatches_have_the_losses_of_the_batch() {
    let of =
        |microbatch| losses(TrainConfig { microbatch, self_condition: 1.0, ..config(1) }, true)[0];
    let (whole, parts) = (of(None), of(Some(2)));
    assert!((whole - parts).abs() < 1e-5 * whole, "{whole} and {parts}");
}

#[test]
fn a_resumed_run_has_the_same_bytes() {
    let run = |stop: usize| {
        let folder = TempDir::new().unwrap();
        let run = RunFolder::create(&folder.path().join("run")).unwrap();
        let mut first = trainer(config(6), true);
        first.run(Some(&run), &mut StopAfter(stop, 0)).unwrap();
        if stop < 6 {
            first = trainer(config(6), true);
            first.restore(&run.latest().unwrap(), OtherData::Refused).unwrap();
            first.run(Some(&run), &mut NoCallback).unwrap();
        }
        first
    };
    let (whole, parts) = (run(6), run(3));
    assert!(equal(whole.ema_network().params(), parts.ema_network().params()));
}

#[test]
fn a_loss_without_self_conditioning_says_so() {
    let error = process_of_consistency().unwrap_err().to_string();
    assert!(error.contains("model.self_condition=false"), "{error}");
}

fn process_of_consistency() -> Result<(), Box<dyn std::error::Error>> {
    let preconditioning =
        Preconditioning::Consistency { sigma_data: 0.5, sigma_min: 0.002, time_scale: 1000.0 };
    let process = DiffusionConfig::from(ContinuousConfig::new(preconditioning));
    let process = process.build(Device::Cpu)?;
    let model = ModelConfig::Lucid(LucidConfig {
        size: ImageSize::square(16),
        features: 8,
        multipliers: vec![1],
        self_condition: true,
        ..LucidConfig::readme()
    });
    let build = || model.build(Kind::Float, Device::Cpu);
    let builder = Trainer::builder(build()?, build()?, process, sprites::dataset(0, 8));
    let loss = LossType::ConsistencyTraining(ConsistencyTraining::default());
    let config = TrainConfig { loss, self_condition: 1.0, batch: 4, ..config(1) };
    builder.build(config)?.run(None, &mut NoCallback)?;
    Ok(())
}
