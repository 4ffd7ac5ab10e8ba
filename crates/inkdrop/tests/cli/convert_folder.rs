//! Folders of diffusers, written and read.

use inkdrop_checkpoint::StateDict;
use inkdrop_torch::tch::Tensor;
use serde_json::Value;

use super::networks::{
    families, improved, place_with_weights, put_config, put_weights, unet2d, weights,
};
use super::support::{Place, tensors};

const WEIGHTS: &str = "pipe/unet/diffusion_pytorch_model.safetensors";

/// A pipeline in the folder `pipe`, and the file that it was made of.
pub fn place_with_pipeline() -> Place {
    let place = place_with_weights("model.pt", &unet2d());
    put_config(&place, "net.json", &unet2d());
    let args = ["convert", "model.pt", "pipe", "--config", "net.json", "--process", "ddpm"];
    let outcome = place.run(&args).succeeds();
    assert!(outcome.stdout.contains("scheduler_config.json"), "{}", outcome.stdout);
    place
}

fn json(place: &Place, name: &str) -> Value {
    let text = std::fs::read(place.path(name)).expect("a file");
    serde_json::from_slice(&text).expect("JSON")
}

#[test]
fn a_folder_has_what_diffusers_looks_for() {
    let place = place_with_pipeline();
    assert!(tensors(&place.path(WEIGHTS)) == tensors(&place.path("model.pt")));
    let config = json(&place, "pipe/unet/config.json");
    assert_eq!(config["_class_name"], "UNet2DModel");
    assert_eq!(config["sample_size"], 16);
    assert_eq!(config["block_out_channels"], serde_json::json!([8, 16]));
    assert_eq!(config["norm_num_groups"], 4);
    let scheduler = json(&place, "pipe/scheduler/scheduler_config.json");
    assert_eq!(scheduler["_class_name"], "DDPMScheduler");
    assert_eq!(scheduler["num_train_timesteps"], 1000);
    assert_eq!(json(&place, "pipe/model_index.json")["_class_name"], "DDPMPipeline");
}

#[test]
fn a_folder_explains_itself_to_a_file() {
    let place = place_with_pipeline();
    for input in ["pipe", "pipe/"] {
        let outcome = place.run(&["convert", input, "x.safetensors"]).succeeds();
        assert!(outcome.stdout.contains("with metadata"), "{}", outcome.stdout);
        assert!(tensors(&place.path("x.safetensors")) == tensors(&place.path("model.pt")));
        place.run(&["sample", "x.safetensors", "-n", "1", "--steps", "2"]).succeeds();
    }
    place.run(&["convert", "x.safetensors", "again/"]).succeeds();
    let config = |folder: &str| json(&place, &format!("{folder}/unet/config.json"));
    assert_eq!(config("again"), config("pipe"));
    place.run(&["convert", "pipe", "x.pt"]).succeeds();
    assert!(tensors(&place.path("x.pt")) == tensors(&place.path("model.pt")));
}

#[test]
fn a_network_alone_is_a_folder_too() {
    let place = place_with_pipeline();
    let outcome = place.run(&["convert", "pipe/unet", "x.safetensors"]).succeeds();
    assert!(outcome.stdout.contains("--process"), "{}", outcome.stdout);
    let args = ["convert", "model.pt", "alone", "--config", "net.json"];
    let outcome = place.run(&args).succeeds();
    assert!(outcome.stdout.contains("without scheduler_config.json"), "{}", outcome.stdout);
    assert!(
        !place.path("alone/scheduler").exists() && !place.path("alone/model_index.json").exists()
    );
}

#[test]
fn only_a_unet2d_becomes_a_folder() {
    for config in families().iter().filter(|config| config.family() != "unet2d") {
        let place = place_with_weights("model.pt", config);
        put_config(&place, "net.json", config);
        let family = config.family();
        place.refuses(&["convert", "model.pt", "pipe"], &["diffusers", family, ".safetensors"]);
        let said = ["convert", "model.pt", "pipe", "--config", "net.json", "--process", "ddpm"];
        place.refuses(&said, &["diffusers", family, ".safetensors"]);
    }
}

#[test]
fn a_folder_wants_to_know_what_shapes_cannot_tell() {
    let place = place_with_weights("model.pt", &unet2d());
    place.refuses(&["convert", "model.pt", "pipe"], &["groups", "--config", "--assume"]);
    place.run(&["convert", "model.pt", "pipe", "--assume"]).succeeds();
    assert_eq!(json(&place, "pipe/config.json")["sample_size"], 32);
}

#[test]
fn a_scheduler_of_any_kind_goes_along_as_it_is() {
    let place = place_with_pipeline();
    let theirs = serde_json::json!({"_class_name": "DDIMScheduler", "beta_schedule": "scaled_linear",
        "clip_sample": false, "set_alpha_to_one": false});
    place.put("pipe/scheduler/scheduler_config.json", theirs.to_string().as_bytes());
    place.run(&["convert", "pipe", "again"]).succeeds();
    assert_eq!(json(&place, "again/scheduler/scheduler_config.json"), theirs);
    assert_eq!(json(&place, "again/model_index.json")["_class_name"], "DDIMPipeline");
}

/// DDPMPipeline would start from noise of unit variance.
#[test]
fn a_scheduler_without_a_pipeline_is_written_alone() {
    let place = place_with_pipeline();
    let args = ["convert", "model.pt", "edm", "--config", "net.json", "--process", "edm"];
    let outcome = place.run(&args).succeeds();
    assert!(outcome.stdout.contains("no pipeline of diffusers"), "{}", outcome.stdout);
    assert!(!place.path("edm/model_index.json").exists());
    place.run(&["sample", "edm", "-n", "1", "--steps", "2", "--out", "x.png"]).succeeds();
}

/// config.json has no place for the image beside x.
#[test]
fn a_network_with_an_image_condition_is_no_folder() {
    let place = place_with_pipeline();
    place.run(&["convert", "pipe", "x.safetensors"]).succeeds();
    let mut weights = StateDict::open(&place.path("x.safetensors")).expect("a model");
    let kernel = weights.get("conv_in.weight").expect("a kernel");
    let wide = Tensor::cat(&[kernel, kernel], 1);
    weights.insert("conv_in.weight", wide);
    let condition = serde_json::json!({"kind": "pair", "channels": 3});
    weights.set_metadata("condition", &condition).expect("metadata");
    weights.save(&place.path("pair.safetensors")).expect("a file");
    place.run(&["inspect", "pair.safetensors"]).succeeds();
    let words = ["conditioned on an image (pair)", "convert it to a file"];
    place.refuses(&["convert", "pair.safetensors", "pair/"], &words);
}

#[test]
fn a_folder_without_a_size_stays_without() {
    let place = place_with_pipeline();
    let mut config = json(&place, "pipe/unet/config.json");
    config["sample_size"] = Value::Null;
    place.put("pipe/unet/config.json", config.to_string().as_bytes());
    place.run(&["convert", "pipe", "again"]).succeeds();
    assert_eq!(json(&place, "again/unet/config.json")["sample_size"], Value::Null);
    place.refuses(&["sample", "again"], &["size"]);
}

#[test]
fn a_folder_of_something_else_is_left_alone() {
    let place = place_with_pipeline();
    std::fs::create_dir(place.path("mine")).expect("a folder");
    place.put("mine/letter.txt", b"dear");
    let args = ["convert", "model.pt", "mine", "--config", "net.json"];
    place.refuses(&args, &["mine", "not empty"]);
    place.refuses(&[&args[..2], &["model.pt/"], &args[3..]].concat(), &["cannot write model.pt"]);
}

#[test]
fn a_folder_is_not_written_over_itself() {
    let place = place_with_pipeline();
    let cases = [
        ["pipe", "pipe"],
        ["pipe", "pipe/"],
        ["pipe/unet", "pipe"],
        ["pipe", WEIGHTS],
        [WEIGHTS, "pipe"],
    ];
    for [input, output] in cases {
        let args = ["convert", input, output, "--assume"];
        place.refuses(&args, &["would be overwritten"]);
    }
    place.run(&["convert", "model.pt", "alone", "--config", "net.json"]).succeeds();
    place.refuses(&["convert", "alone", "alone/"], &["would be overwritten"]);
}

#[test]
fn a_config_that_is_not_supported_is_refused_in_all_its_fields() {
    let place = place_with_pipeline();
    let mut config = json(&place, "pipe/unet/config.json");
    config["act_fn"] = "tanh".into();
    config["time_embedding_type"] = "fourier".into();
    place.put("pipe/unet/config.json", config.to_string().as_bytes());
    for command in [["sample", "pipe"], ["plan", "pipe"]] {
        place.refuses(&command, &["pipe", "tanh", "fourier"]);
    }
    let outcome = place.run(&["convert", "pipe", "x.safetensors"]).succeeds();
    assert!(outcome.stdout.contains("tanh"), "{}", outcome.stdout);
}

#[test]
fn a_scheduler_that_is_not_supported_gives_way_to_a_process() {
    let place = place_with_pipeline();
    let scheduler = br#"{"_class_name": "ScoreSdeVeScheduler", "num_train_timesteps": 2000}"#;
    place.put("pipe/scheduler/scheduler_config.json", scheduler);
    let sample = ["sample", "pipe", "-n", "1", "--steps", "2"];
    place.refuses(&sample, &["ScoreSdeVeScheduler", "--process"]);
    for command in [&["inspect", "pipe"][..], &["convert", "pipe", "x.safetensors"]] {
        let outcome = place.run(command).succeeds();
        assert!(outcome.stdout.contains("ScoreSdeVeScheduler"), "{}", outcome.stdout);
    }
    place.run(&[&sample[..], &["--process", "ddpm"]].concat()).succeeds();
}

#[test]
fn weights_of_another_network_do_not_fit_a_folder() {
    let place = place_with_pipeline();
    put_weights(&place, WEIGHTS, &weights(&improved()));
    place.refuses(&["sample", "pipe"], &["do not match", "missing", "unexpected"]);
    place.refuses(&["convert", "pipe", "x.safetensors"], &["pipe", "config.json", "do not match"]);
}
