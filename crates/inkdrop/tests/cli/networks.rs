//! Small networks of every family, as the files that others would have made of them.

use std::path::{Path, PathBuf};

use inkdrop_checkpoint::StateDict;
use inkdrop_torch::DefaultGenerator;
use inkdrop_torch::tch::{Device, Kind, no_grad_guard};
use inkdrop_unet::{
    ContextConfig, DdpmConfig, ImageSize, ImprovedConfig, ModelConfig, Unet2dConfig,
};

use super::support::Place;

pub fn context() -> ModelConfig {
    ModelConfig::Context(ContextConfig { features: 8, ..ContextConfig::sprites() })
}

pub fn ddpm() -> ModelConfig {
    ModelConfig::Ddpm(DdpmConfig {
        size: ImageSize::square(16),
        features: 8,
        multipliers: vec![1, 2],
        blocks: 1,
        time_features: Some(16),
        groups: 4,
        ..DdpmConfig::cifar10()
    })
}

/// It learns its variance.
pub fn improved_config() -> ImprovedConfig {
    ImprovedConfig {
        size: ImageSize::square(16),
        features: 32,
        multipliers: vec![1.0, 2.0],
        blocks: 1,
        attention: vec![2],
        ..ImprovedConfig::cifar10()
    }
}

pub fn improved() -> ModelConfig {
    ModelConfig::Improved(improved_config())
}

/// It knows ten classes.
pub fn class_conditional() -> ModelConfig {
    ModelConfig::Improved(ImprovedConfig { classes: Some(10), outputs: 3, ..improved_config() })
}

pub fn super_res() -> ModelConfig {
    ModelConfig::ImprovedSuperRes(improved_config())
}

pub fn unet2d() -> ModelConfig {
    ModelConfig::Unet2d(Unet2dConfig {
        size: ImageSize::square(16),
        features: vec![8, 16],
        blocks: 1,
        down_attention: vec![false, true],
        up_attention: vec![true, false],
        groups: 4,
        ..Unet2dConfig::cifar10()
    })
}

/// One of each family.
pub fn families() -> [ModelConfig; 5] {
    [context(), ddpm(), improved(), super_res(), unet2d()]
}

/// The weights of a network, none of them 0: a last layer of zeros would hide all others.
pub fn weights(config: &ModelConfig) -> StateDict {
    seeded_weights(config, 0)
}

/// The same from another seed, where a file has several networks.
pub fn seeded_weights(config: &ModelConfig, seed: i64) -> StateDict {
    let _generator = DefaultGenerator::seeded(seed);
    let network = config.build(Kind::Float, Device::Cpu).expect("a network");
    let _guard = no_grad_guard();
    for param in network.params().trained() {
        let noise = param.tensor.randn_like() * 0.1;
        let _ = param.tensor.shallow_clone().f_add_(&noise).expect("as large");
    }
    StateDict::of(network.params())
}

/// A folder with a network's weights in it, and nothing that says what they are.
pub fn place_with_weights(name: &str, config: &ModelConfig) -> Place {
    let place = Place::new();
    put_weights(&place, name, &weights(config));
    place
}

/// Weights as a file, in the format of its name.
pub fn put_weights(place: &Place, name: &str, weights: &StateDict) {
    let path = place.path(name);
    let saved =
        if name.ends_with(".pt") { weights.save_torch(&path, &[]) } else { weights.save(&path) };
    saved.expect("a writable folder");
}

/// A network's config as a file, in our words.
pub fn put_config(place: &Place, name: &str, config: &ModelConfig) {
    let text = match name.ends_with(".toml") {
        true => toml::to_string(config).expect("TOML"),
        false => serde_json::to_string(config).expect("JSON"),
    };
    place.put(name, text.as_bytes());
}

/// The tensors of several weights, each under its own prefix.
pub fn together(parts: &[(&str, &StateDict)]) -> StateDict {
    let mut all = StateDict::default();
    for (prefix, weights) in parts {
        for (key, tensor) in weights.iter() {
            all.insert(format!("{prefix}{key}"), tensor.shallow_clone());
        }
    }
    all
}

/// A file that Python has made.
pub fn fixture(name: &str) -> PathBuf {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the folder of crates");
    crates.join("inkdrop-checkpoint/tests/fixtures").join(name)
}

/// The same, as an argument.
pub fn fixture_name(name: &str) -> String {
    fixture(name).into_os_string().into_string().expect("UTF-8")
}
