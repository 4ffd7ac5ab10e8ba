//! A diffusion transformer learns sprites by flow matching that predicts the image.

use inkdrop_data::{InMemoryDataset, Labels, sprites};
use inkdrop_nn::{ClassIds, Conditioning};
use inkdrop_process::{
    ContinuousConfig, ContinuousProcess, Denoiser, DiffusionProcess, NetworkDenoiser,
    Preconditioning,
};
use inkdrop_torch::DefaultGenerator;
use inkdrop_torch::tch::{Device, Kind, Tensor, no_grad_guard};
use inkdrop_train::{LabelUse, TrainConfig, Trainer};
use inkdrop_unet::{DitConfig, ModelConfig};

use super::support::config;

#[test]
fn it_learns_and_samples() {
    let model = ModelConfig::Dit(DitConfig {
        features: 48,
        depth: 2,
        heads: 3,
        patch: 4,
        ..DitConfig::sprites()
    });
    let process = Preconditioning::FlowSample { time_scale: 1000.0, reversed: false };
    let process = ContinuousProcess::new(&ContinuousConfig::new(process), Device::Cpu).unwrap();
    let ids = (0..60).map(|i| i % 5).collect();
    let labels = Labels::Classes { ids, count: 5 };
    let data = InMemoryDataset::new(sprites::dataset(0, 60).images, labels).unwrap();
    let (network, ema_network) = {
        let _generator = DefaultGenerator::seeded(5);
        let network = model.build(Kind::Float, Device::Cpu).unwrap();
        (network, model.build_uninitialized(Kind::Float, Device::Cpu).unwrap())
    };
    let config = TrainConfig { batch: 16, lr: 2e-3, label_dropout: 0.2, ..config(60) };
    let builder = Trainer::builder(network, ema_network, process, data);
    let labels = LabelUse::Classes { null: model.null_class() };
    let mut trainer = builder.labels(labels).build(config).unwrap();
    let losses: Vec<f64> = trainer.steps().map(|metrics| metrics.unwrap().loss).collect();
    let mean = |losses: &[f64]| losses.iter().sum::<f64>() / losses.len() as f64;
    let (first, last) = (mean(&losses[..10]), mean(&losses[50..]));
    println!("loss {first} to {last}");
    assert!(last < 0.75 * first, "{first} to {last}");
    let ids = ClassIds::new(&[3, 5], Device::Cpu).unwrap(); // 5: no class
    let denoiser =
        NetworkDenoiser::new(&process, trainer.ema_network(), Conditioning::classes(ids));
    let schedule = process.spaced(&"flow6".parse().unwrap()).unwrap();
    let _guard = no_grad_guard();
    let mut x = {
        let _generator = DefaultGenerator::seeded(7); // other tests draw from it, too
        Tensor::randn([2, 3, 16, 16], (Kind::Float, Device::Cpu))
    };
    for step in schedule.steps() {
        let prediction = denoiser.denoise(&x, step).unwrap();
        x = prediction.x0 * step.to.signal() + prediction.eps * step.to.noise(); // Euler
    }
    assert!(x.abs().max().double_value(&[]) < 3.0);
}
