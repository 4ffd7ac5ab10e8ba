//! Keys and shapes tell which network they are of.

use inkdrop_nn::TrainableNetwork;
use inkdrop_unet::{DetectError, ModelConfig, Shapes};

use super::every::all;
use super::support::build;

fn shapes(network: &dyn TrainableNetwork) -> Shapes {
    network.params().iter().map(|param| (&*param.name, param.tensor.size())).collect()
}

/// The same config with its undetermined fields taken from another one, by way of JSON.
fn with_assumed(found: &ModelConfig, undetermined: &[&str], truth: &ModelConfig) -> ModelConfig {
    let (mut found, truth) =
        (serde_json::to_value(found).unwrap(), serde_json::to_value(truth).unwrap());
    // A dropout and a number of heads on the way up leave no trace, either.
    for field in undetermined.iter().chain(&[
        "dropout",
        "groups",
        "heads_upsample",
        "middle_groups",
        "middle_divisor",
        "theta",
        "random_fourier",
    ]) {
        match truth.get(field) {
            Some(value) => found[field] = value.clone(),
            None => drop(found.as_object_mut().unwrap().remove(*field)),
        }
    }
    serde_json::from_value(found).unwrap()
}

#[test]
fn every_network_is_recognised_but_for_what_it_says() {
    for config in all() {
        let detected = ModelConfig::detect(&shapes(build(&config).as_ref())).unwrap();
        let undetermined: Vec<&str> =
            detected.undetermined.iter().map(|undetermined| undetermined.field).collect();
        assert_eq!(with_assumed(&detected.config, &undetermined, &config), config);
    }
}

#[test]
fn presets_are_recognised() {
    for name in [
        "improved_imagenet64",
        "guided_imagenet64",
        "ddpm_cifar10",
        "unet2d_cifar10",
        "lucid",
        "lucid_classes",
        "dit_s2",
        "jit_b16",
        "dit_sprites",
    ] {
        let config = ModelConfig::preset(name).unwrap();
        let detected = ModelConfig::detect(&shapes(build(&config).as_ref())).unwrap();
        assert_eq!(detected.config.family(), config.family());
        let plan = |config: &ModelConfig| config.plan().unwrap().parameters();
        assert_eq!(plan(&detected.config), plan(&config), "{name}");
    }
}

#[test]
fn keys_of_no_family_and_of_two_are_refused() {
    let of = |keys: &[&str]| -> Shapes { keys.iter().map(|key| (*key, vec![8, 8])).collect() };
    let detect = |keys: &[&str]| ModelConfig::detect(&of(keys)).unwrap_err();
    assert_eq!(detect(&[]), DetectError::Unknown);
    assert_eq!(detect(&["layer1.weight"]), DetectError::Unknown);
    let mixed = detect(&["downs.0.conv_1.weight", "input_blocks.0.0.weight"]);
    assert_eq!(mixed, DetectError::Mixed(vec!["ddpm", "improved"]));
    assert!(mixed.to_string().contains("several families (ddpm, improved)"));
    for keys in [
        &["input_blocks.0.0.weight"][..],
        &["downs.9223372036854775807.x", "init_conv.weight"],
        &["down_blocks.0.resnets.0.conv1.weight"],
        &["contextembed1.model.0.weight"],
        &["input_blocks.0.0.weight", "time_embed.0.weight", "out.2.weight"],
    ] {
        assert!(matches!(detect(keys), DetectError::Misfit(_)), "{keys:?}");
    }
}
