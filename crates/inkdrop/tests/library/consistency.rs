//! Consistency models in the layouts of openai/consistency_models and of diffusers.

use inkdrop::Pipeline;
use inkdrop::checkpoint::StateDict;
use inkdrop::nn::{Conditioning, Mode, TrainableNetwork};
use inkdrop::process::DiffusionConfig;
use inkdrop::torch::tch::{Device, Kind, Tensor, no_grad};
use inkdrop::unet::{AttentionOrder, ImageSize, ImprovedConfig, ModelConfig};

fn config() -> ImprovedConfig {
    ImprovedConfig {
        size: ImageSize::square(8),
        outputs: 3,
        features: 32,
        multipliers: vec![1.0, 2.0],
        blocks: 1,
        attention: vec![2],
        head_channels: Some(16),
        attention_order: AttentionOrder::New,
        resblock_updown: true,
        dropout: 0.0,
        ..ImprovedConfig::cifar10()
    }
}

/// A network whose attention adds something: its last projection is zero in a new network.
fn network() -> Box<dyn TrainableNetwork> {
    let network = ModelConfig::Improved(config()).build(Kind::Float, Device::Cpu).unwrap();
    for param in network.params().iter().filter(|param| param.name.contains("proj_out")) {
        no_grad(|| param.tensor.shallow_clone().f_add_scalar_(0.02).map(drop)).unwrap();
    }
    network
}

/// Its weights, with the attention's projections over the axes of the images.
fn weights(network: &dyn TrainableNetwork) -> StateDict {
    let mut file = StateDict::default();
    for param in network.params().iter() {
        let is_projection =
            [".qkv.weight", ".proj_out.weight"].iter().any(|end| param.name.ends_with(end));
        let tensor = param.tensor.detach();
        let tensor = if is_projection { tensor.unsqueeze(3) } else { tensor };
        file.insert(param.name.clone(), tensor);
    }
    file
}

#[test]
fn checkpoints_of_openai_are_recognised_by_their_attention() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cd.safetensors");
    let network = network();
    weights(network.as_ref()).save(&path).unwrap();
    let pipeline = Pipeline::builder(&path)
        .set("size", "8x8")
        .set("heads", 4)
        .set("head_channels", 16)
        .process("consistency")
        .build()
        .unwrap();
    let ModelConfig::Improved(found) = &pipeline.metadata().model else { panic!("another family") };
    assert_eq!(found.attention_order, AttentionOrder::New);
    assert!(matches!(pipeline.metadata().process, DiffusionConfig::Continuous(_)));
    let x = Tensor::randn([2, 3, 8, 8], (Kind::Float, Device::Cpu));
    let t = Tensor::from_slice(&[0.3f32, -0.2]);
    let none = Conditioning::none();
    let expected = network.forward_mode(&x, &t, &none, Mode::Eval).unwrap();
    let ours = pipeline.network().unwrap().forward(&x, &t, &none).unwrap();
    let largest = expected.abs().max().double_value(&[]);
    assert!((ours - expected).abs().max().double_value(&[]) < 2e-5 * largest.max(1.0));
}
