//! Samples of foreign networks that are refused.

use inkdrop_unet::{ImprovedConfig, ModelConfig, Unet2dConfig};

use super::convert_folder::place_with_pipeline;
use super::networks::{
    class_conditional, context, ddpm, improved, improved_config, place_with_weights, put_config,
    super_res, unet2d,
};
use super::support::{Place, place_with_model};

const SAMPLE: [&str; 8] = ["sample", "model.pt", "-n", "1", "--steps", "2", "--out", "kept.png"];

fn refused(place: &Place, options: &[&str], words: &[&str]) {
    place.refuses(&[&SAMPLE[..], options].concat(), words);
}

/// A network whose config and process are given is refused all the same.
fn refused_though_known(config: &ModelConfig, options: &[&str], words: &[&str]) {
    let place = place_with_weights("model.pt", config);
    put_config(&place, "net.json", config);
    let known = ["--config", "net.json", "--process", "ddpm"];
    refused(&place, &[&known[..], options].concat(), words);
}

#[test]
fn what_shapes_cannot_tell_is_asked_for_with_examples() {
    let ways = ["--config", "--assume"];
    let cases: [(ModelConfig, &[&str]); 3] = [
        (improved(), &["improved", "--set heads=4", "--set size=64x64"]),
        (ddpm(), &["ddpm", "--set size=32x32", "--set activation=silu", "--set groups=8"]),
        (unet2d(), &["unet2d", "--set groups=8", "--set eps=", "--set head_channels=none"]),
    ];
    for (config, words) in cases {
        let place = place_with_weights("model.pt", &config);
        refused(&place, &["--process", "ddpm"], &[words, &ways, &["model.pt"]].concat());
        refused(&place, &["--assume"], &["model.pt", "process", "--process"]);
    }
    let place = place_with_weights("model.pt", &improved());
    refused(&place, &["--set", "size=16", "--process", "ddpm"], &["do not determine heads:"]);
}

#[test]
fn the_process_is_asked_for() {
    let place = place_with_weights("model.pt", &improved());
    put_config(&place, "net.json", &improved());
    let words = ["model.pt", "--process", "sprites", "ddpm", "linear:STEPS", "cosine:STEPS"];
    refused(&place, &["--config", "net.json"], &words);
    refused(&place, &["--config", "net.json", "--process", "cosine:0"], &["cosine:0"]);
    let place = place_with_weights("model.pt", &context());
    refused(&place, &[], &["model.pt", "--process sprites"]);
}

#[test]
fn a_class_is_asked_for_where_the_network_knows_classes() {
    let config = class_conditional();
    refused_though_known(&config, &[], &["10 classes", "--class N", "0 to 9"]);
    for class in ["10", "-1", "cat", "1.5", "99999999999999999999"] {
        let class = format!("--class={class}");
        refused_though_known(&config, &[&class], &[&class[8..], "0 to 9"]);
    }
    refused_though_known(&config, &["--context", "hero=1"], &["hero", "--class N"]);
}

#[test]
fn a_class_is_refused_where_the_network_knows_none() {
    for options in [["--class", "3"], ["--context", "3=1"]] {
        refused_though_known(&improved(), &options, &["`3`", "no classes", "leave"]);
        refused_though_known(&ddpm(), &options, &["`3`", "no classes", "leave"]);
    }
    let place = place_with_model();
    let args = ["sample", "model.safetensors", "--class", "5", "--out", "kept.png"];
    place.refuses(&args, &["`5`", "hero", "side-facing"]);
}

#[test]
fn super_resolution_is_refused_at_once() {
    let place = place_with_weights("model.pt", &super_res());
    refused(&place, &[], &["edit upscale"]);
    refused_though_known(&super_res(), &[], &["edit upscale"]);
}

#[test]
fn networks_that_make_no_images_are_refused() {
    let line = ImprovedConfig { dims: 1, ..improved_config() };
    refused_though_known(&ModelConfig::Improved(line), &[], &["1 ax"]);
    let volume = ImprovedConfig { dims: 3, ..improved_config() };
    refused_though_known(&ModelConfig::Improved(volume), &[], &["3 ax"]);
    let ModelConfig::Unet2d(plain) = unet2d() else { unreachable!("a unet2d") };
    let mask = Unet2dConfig { outputs: 1, ..plain.clone() };
    refused_though_known(&ModelConfig::Unet2d(mask), &[], &["1 channels for images of 3"]);
    let many = Unet2dConfig { channels: 17, outputs: 17, ..plain };
    refused_though_known(&ModelConfig::Unet2d(many), &[], &["17 channels"]);
}

#[test]
fn an_odd_size_is_refused_with_the_next_one() {
    let place = place_with_weights("model.pt", &improved());
    let known = ["--set", "heads=4", "--process", "ddpm", "--set", "size=15"];
    refused(&place, &known, &["size 15", "multiple of 2", "16"]);
    let place = place_with_pipeline();
    let args = ["sample", "pipe", "--set", "size=16x17", "--out", "kept.png"];
    place.refuses(&args, &["size 17", "multiple of 2", "18"]);
}

#[test]
fn a_folder_that_does_not_say_its_size_is_asked_for_it() {
    let place = place_with_pipeline();
    let path = place.path("pipe/unet/config.json");
    let text = std::fs::read(&path).expect("a config");
    let mut config: serde_json::Value = serde_json::from_slice(&text).expect("JSON");
    config["sample_size"] = serde_json::Value::Null;
    std::fs::write(path, config.to_string()).expect("a writable folder");
    let args = ["sample", "pipe", "-n", "1", "--steps", "2", "--out", "kept.png"];
    place.refuses(&args, &["pipe", "--set size=32x32"]);
    place.run(&[&args[..], &["--set", "size=16"]].concat()).succeeds();
}
