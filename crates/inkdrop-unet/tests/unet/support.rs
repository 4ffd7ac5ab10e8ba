//! A small network of each family, and inputs for it.

use inkdrop_nn::{ClassIds, Conditioning, TrainableNetwork};
use inkdrop_torch::tch::{Device, Kind, Tensor};
use inkdrop_unet::{
    DdpmConfig, DitConfig, Edm2Config, EdmConfig, ImageSize, ImprovedConfig, LucidConfig,
    ModelConfig, Unet2dConfig,
};

pub const F32: (Kind, Device) = (Kind::Float, Device::Cpu);

pub fn build(config: &ModelConfig) -> Box<dyn TrainableNetwork> {
    config.build(Kind::Float, Device::Cpu).unwrap()
}

pub fn ddpm() -> DdpmConfig {
    DdpmConfig {
        size: ImageSize::square(16),
        features: 8,
        multipliers: vec![1, 2],
        blocks: 1,
        time_features: Some(16),
        groups: 4,
        dropout: 0.0,
        ..DdpmConfig::cifar10()
    }
}

pub fn improved() -> ImprovedConfig {
    ImprovedConfig {
        size: ImageSize::square(16),
        features: 32,
        multipliers: vec![1.0, 2.0],
        blocks: 1,
        attention: vec![2],
        dropout: 0.0,
        ..ImprovedConfig::cifar10()
    }
}

/// DiT with all options of JiT.
pub fn jit() -> DitConfig {
    DitConfig {
        classes: Some(5),
        patch: 4,
        rms_norm: true,
        qk_norm: true,
        rotary: true,
        swiglu: true,
        bottleneck: Some(7),
        in_context_len: 3,
        in_context_start: 1,
        ..dit()
    }
}

pub fn dit() -> DitConfig {
    DitConfig { features: 24, depth: 2, heads: 3, classes: None, ..DitConfig::sprites() }
}

pub fn edm() -> EdmConfig {
    EdmConfig {
        size: 16,
        features: 8,
        multipliers: vec![1, 2],
        embedding_multiplier: 2,
        blocks: 1,
        attention: vec![8],
        augment: None,
        dropout: 0.0,
        ..EdmConfig::cifar10()
    }
}

pub fn edm2() -> Edm2Config {
    Edm2Config {
        size: 16,
        classes: None,
        multipliers: vec![1, 2],
        blocks: 1,
        attention: vec![8],
        head_channels: 8,
        logvar: Some(16),
        ..Edm2Config::imagenet64(8)
    }
}

pub fn unet2d() -> Unet2dConfig {
    Unet2dConfig {
        size: ImageSize::square(16),
        features: vec![8, 16],
        blocks: 1,
        down_attention: vec![false, true],
        up_attention: vec![true, false],
        groups: 4,
        ..Unet2dConfig::cifar10()
    }
}

pub fn lucid() -> LucidConfig {
    LucidConfig {
        size: ImageSize::square(16),
        features: 8,
        multipliers: vec![1, 2],
        heads: vec![2],
        head_channels: vec![8],
        ..LucidConfig::readme()
    }
}

/// x, t and the conditions that a network wants, for two images.
pub fn inputs(config: &ModelConfig) -> (Tensor, Tensor, Conditioning) {
    let [channels, height, width] = config.image_shape();
    let shape = match config {
        ModelConfig::Improved(config) if config.dims == 1 => vec![2, channels, width],
        ModelConfig::Lucid(config) if config.dims == 1 => vec![2, channels, width],
        ModelConfig::Improved(config) if config.dims == 3 => vec![2, channels, 3, height, width],
        _ => vec![2, channels, height, width],
    };
    let x = Tensor::randn(&shape[..], F32);
    let t = match config {
        ModelConfig::Context(_) => Tensor::from_slice(&[0.25f32, 1.0]),
        ModelConfig::Edm(_) | ModelConfig::Edm2(_) => Tensor::from_slice(&[-1.5f32, 0.75]),
        _ => Tensor::from_slice(&[3i64, 999]),
    };
    let self_condition = config.self_condition().then(|| x.randn_like());
    let low_res = matches!(config, ModelConfig::ImprovedSuperRes(_));
    let interval = !config.interval_keys().is_empty();
    let conditioning = Conditioning {
        context: None,
        classes: config.classes().map(|_| ClassIds::new(&[0, 3], Device::Cpu).unwrap()),
        low_res: low_res.then(|| Tensor::randn([2, channels, height / 4, width / 4], F32)),
        interval: interval.then(|| Tensor::from_slice(&[0.25f32, 0.5])),
        self_condition,
        ..Conditioning::none()
    };
    (x, t, conditioning)
}

/// Draws every weight anew, so that what starts at 0 does not hide anything.
pub fn stir(network: &dyn TrainableNetwork) {
    let _guard = inkdrop_torch::tch::no_grad_guard();
    for param in network.params().trained() {
        let noise = param.tensor.randn_like() * 0.1;
        let _ = param.tensor.shallow_clone().f_add_(&noise).unwrap();
    }
}
