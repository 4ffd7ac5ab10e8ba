//! EDM's and EDM2's networks learn, with augmentation and learned uncertainty, and resume exactly.

use inkdrop_data::{InMemoryDataset, Labels, sprites};
use inkdrop_nn::{ClassIds, Conditioning};
use inkdrop_process::{
    ConsistencyTraining, ConsistencyTuning, ContinuousConfig, ContinuousProcess, Denoiser,
    DiffusionProcess, LossType, NetworkDenoiser,
};
use inkdrop_schedule::{NoiseDistribution, Preconditioning};
use inkdrop_torch::DefaultGenerator;
use inkdrop_torch::tch::{Device, Kind, Tensor, no_grad_guard};
use inkdrop_train::{
    AugmentConfig, LabelUse, NoCallback, OtherData, RunFolder, TrainConfig, Trainer, TrainerBuilder,
};
use inkdrop_unet::{Edm2Config, EdmConfig, ModelConfig};
use tempfile::TempDir;

use super::support::{StopAfter, config, equal};

fn edm() -> ModelConfig {
    ModelConfig::Edm(EdmConfig {
        size: 16,
        classes: Some(5),
        features: 16,
        multipliers: vec![1, 2],
        embedding_multiplier: 2,
        blocks: 1,
        attention: vec![8],
        dropout: 0.1,
        ..EdmConfig::cifar10()
    })
}

fn edm2() -> ModelConfig {
    ModelConfig::Edm2(Edm2Config {
        size: 16,
        classes: Some(5),
        multipliers: vec![1, 2],
        blocks: 1,
        attention: vec![8],
        head_channels: 16,
        logvar: Some(32),
        dropout: 0.1,
        ..Edm2Config::imagenet64(16)
    })
}

fn train_config(model: &ModelConfig, steps: usize) -> TrainConfig {
    let uncertain = matches!(model, ModelConfig::Edm2(_));
    let augment = AugmentConfig { probability: 0.15, x_flip: false, ..AugmentConfig::default() };
    TrainConfig {
        batch: 16,
        microbatch: Some(6),
        lr: if uncertain { 1e-2 } else { 1e-3 },
        loss: if uncertain { LossType::Uncertainty } else { LossType::Mse },
        augment: (!uncertain).then_some(augment),
        noise_distribution: Some(NoiseDistribution::LogNormal { mean: -0.4, std: 1.0 }),
        label_dropout: 0.2,
        ..config(steps)
    }
}

fn process() -> ContinuousProcess {
    let edm = ContinuousConfig::new(Preconditioning::Edm { sigma_data: 0.7 });
    ContinuousProcess::new(&edm, Device::Cpu).unwrap()
}

fn trainer(model: &ModelConfig, config: TrainConfig) -> Trainer {
    builder(model, process()).build(config).unwrap()
}

fn builder(model: &ModelConfig, process: ContinuousProcess) -> TrainerBuilder {
    let data = sprites::dataset(0, 60);
    let ids = (0..60).map(|i| i % 5).collect();
    let data = InMemoryDataset::new(data.images, Labels::Classes { ids, count: 5 }).unwrap();
    let _generator = DefaultGenerator::seeded(5);
    let network = model.build(Kind::Float, Device::Cpu).unwrap();
    let ema_network = model.build_uninitialized(Kind::Float, Device::Cpu).unwrap();
    let null = model.null_class();
    Trainer::builder(network, ema_network, process, data).labels(LabelUse::Classes { null })
}

/// The validation loss is that of the images as they are, whatever the training does to them.
#[test]
fn validation_images_are_not_augmented() {
    let with = |augment| {
        let config = TrainConfig { augment, ..train_config(&edm(), 1) };
        let ids = (0..10).map(|i| i % 5).collect();
        let labels = Labels::Classes { ids, count: 5 };
        let held_out = InMemoryDataset::new(sprites::dataset(7, 10).images, labels).unwrap();
        let trainer = builder(&edm(), process()).validation(held_out).build(config).unwrap();
        trainer.validate().unwrap().unwrap()
    };
    assert_eq!(
        with(Some(AugmentConfig { probability: 1.0, ..AugmentConfig::default() })),
        with(None)
    );
}

/// The target's pass leaves the weights as they are, which the student's gradient needs.
#[test]
fn edm2_is_tuned_to_a_consistency_model() {
    let preconditioning =
        Preconditioning::Consistency { sigma_data: 0.7, sigma_min: 0.002, time_scale: 1.0 };
    let process =
        || ContinuousProcess::new(&ContinuousConfig::new(preconditioning), Device::Cpu).unwrap();
    for loss in [
        LossType::ConsistencyTuning(ConsistencyTuning::default()),
        LossType::ConsistencyTraining(ConsistencyTraining::default()),
    ] {
        let config = TrainConfig { loss, noise_distribution: None, ..train_config(&edm2(), 2) };
        let mut trainer = builder(&edm2(), process()).build(config).unwrap();
        let metrics = trainer.run_steps(2).unwrap();
        assert!(metrics.iter().all(|step| step.loss.is_finite() && step.grad_norm > 0.0));
    }
}

#[test]
fn both_learn_and_sample() {
    for model in [edm(), edm2()] {
        let mut trainer = trainer(&model, train_config(&model, 40));
        let losses: Vec<f64> = trainer.steps().map(|metrics| metrics.unwrap().loss).collect();
        let mean = |losses: &[f64]| losses.iter().sum::<f64>() / losses.len() as f64;
        let (first, last) = (mean(&losses[..8]), mean(&losses[32..]));
        assert!(last < first - 0.1, "{}: {first} to {last}", model.family());
        let ids = ClassIds::new(&[3, 5], Device::Cpu).unwrap(); // 5: no class
        let process = process();
        let network = trainer.ema_network();
        let denoiser = NetworkDenoiser::new(&process, network, Conditioning::classes(ids));
        let schedule = process.spaced(&"karras5".parse().unwrap()).unwrap();
        let _guard = no_grad_guard();
        let mut x = {
            let _generator = DefaultGenerator::seeded(7); // other tests draw from it, too
            Tensor::randn([2, 3, 16, 16], (Kind::Float, Device::Cpu))
        };
        for step in schedule.steps() {
            let prediction = denoiser.denoise(&x, step).unwrap();
            x = prediction.x0 * step.to.signal() + prediction.eps * step.to.noise(); // Euler
        }
        assert!(x.abs().max().double_value(&[]) < 3.0, "{}", model.family());
    }
}

#[test]
fn a_stopped_run_goes_on_to_the_same_bytes() {
    for model in [edm(), edm2()] {
        let config = train_config(&model, 6);
        let mut whole = trainer(&model, config.clone());
        whole.run(None, &mut NoCallback).unwrap();
        let place = TempDir::new().unwrap();
        let folder = RunFolder::create(&place.path().join("run")).unwrap();
        let mut part = trainer(&model, config.clone());
        part.run(Some(&folder), &mut StopAfter(3, 0)).unwrap();
        let mut rest = trainer(&model, config);
        rest.restore(&folder.latest().unwrap(), OtherData::Refused).unwrap();
        rest.run(Some(&folder), &mut NoCallback).unwrap();
        assert!(equal(whole.ema_network().params(), rest.ema_network().params()));
        let (ours, theirs) = (rest.state().unwrap(), whole.state().unwrap());
        for (key, tensor) in theirs.iter() {
            assert_eq!(ours.get(key), Some(tensor), "{key} of {}", model.family());
        }
    }
}
