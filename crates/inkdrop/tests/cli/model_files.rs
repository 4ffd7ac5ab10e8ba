//! Files of weights that are not a model, or not quite one.

use inkdrop_checkpoint::StateDict;
use inkdrop_torch::tch::{Device, Kind, Tensor};
use serde_json::Value;

use super::support::{Place, model, place_with_model};

const SAMPLE: [&str; 6] = ["sample", "model.safetensors", "-n", "1", "--steps", "2"];
const INSPECT: [&str; 4] = ["inspect", "model.safetensors", "--json", "--stats"];
const REFUSED: [&str; 4] = ["sample", "model.safetensors", "--out", "kept.png"];

/// A command refuses a file with these contents, with these words.
fn refused(command: &[&str], bytes: &[u8], words: &[&str]) {
    let place = Place::new();
    place.put("model.safetensors", bytes);
    let words = [&["model.safetensors"], words].concat();
    place.refuses(command, &words);
}

/// The metadata entries of the tiny model, by name.
fn metadata() -> Vec<(String, Value)> {
    let length = u64::from_le_bytes(model()[..8].try_into().expect("8 bytes")) as usize;
    let header: Value = serde_json::from_slice(&model()[8..8 + length]).expect("a header");
    let entries = header["__metadata__"].as_object().expect("metadata").iter();
    let parsed = |text: &Value| serde_json::from_str(text.as_str().expect("text")).expect("JSON");
    entries.map(|(name, text)| (name.clone(), parsed(text))).collect()
}

/// A folder with the tiny model, less the keys that are not kept.
fn place_keeping(kept: impl Fn(&str) -> bool, metadata: &[(String, Value)]) -> (Place, StateDict) {
    let place = place_with_model();
    let mut weights = StateDict::default();
    let path = place.path("model.safetensors");
    for (key, tensor) in StateDict::open(&path).expect("a model").iter().filter(|(k, _)| kept(k)) {
        weights.insert(key, tensor.shallow_clone());
    }
    for (name, value) in metadata {
        weights.set_metadata(name, value).expect("JSON");
    }
    weights.save(&path).expect("a writable folder");
    (place, weights)
}

fn place_with(key: &str, tensor: Tensor) -> Place {
    let (place, mut weights) = place_keeping(|_| true, &metadata());
    weights.insert(key, tensor);
    weights.save(&place.path("model.safetensors")).expect("a writable folder");
    place
}

#[test]
fn missing_file_is_named() {
    let place = Place::new();
    place.refuses(&REFUSED, &["model.safetensors"]);
    place.refuses(&INSPECT, &["model.safetensors"]);
}

#[test]
fn folder_is_no_model() {
    let place = Place::new();
    std::fs::create_dir(place.path("model.safetensors")).expect("a folder");
    place.refuses(&REFUSED, &["model.safetensors", "folder|directory"]);
}

#[test]
fn empty_file_is_called_empty() {
    refused(&REFUSED, b"", &["empty"]);
    refused(&INSPECT, b"", &["empty"]);
}

#[test]
fn truncated_file_is_called_truncated() {
    let half = &model()[..model().len() / 2];
    refused(&REFUSED, half, &["truncated"]);
    refused(&INSPECT, half, &["truncated"]);
    refused(&REFUSED, &half[..100], &["truncated"]);
}

#[test]
fn foreign_file_is_called_by_its_format() {
    refused(&REFUSED, b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", &["PNG"]);
    refused(&REFUSED, b"\x80\x02}q\x00X\x05\x00\x00\x00", &["pickle"]);
    refused(&INSPECT, b"PK\x03\x04\x14\x00\x00\x00archive/data.pkl", &["zip"]);
}

#[test]
fn text_is_no_model() {
    let text = b"These are words, and not weights.\n";
    refused(&REFUSED, text, &["safetensors"]);
    refused(&INSPECT, text, &["safetensors"]);
}

#[test]
fn missing_key_is_named() {
    let (place, _) = place_keeping(|key| key != "out.0.bias", &metadata());
    place.refuses(&REFUSED, &["out.0.bias", "missing"]);
}

#[test]
fn unexpected_key_is_named() {
    let place = place_with("extra.weight", Tensor::zeros([2], (Kind::Float, Device::Cpu)));
    place.refuses(&REFUSED, &["extra.weight", "unexpected"]);
}

#[test]
fn other_shape_is_named_with_the_expected_one() {
    let place = place_with("out.0.bias", Tensor::zeros([3], (Kind::Float, Device::Cpu)));
    place.refuses(&REFUSED, &["out.0.bias", "[3]", "[8]"]);
}

#[test]
fn metadata_of_another_network_is_refused() {
    let mut metadata = metadata();
    for (name, value) in &mut metadata {
        if name == "model" {
            value["features"] = 16.into();
        }
    }
    let (place, _) = place_keeping(|_| true, &metadata);
    place.refuses(&REFUSED, &["init_conv.conv1.0.bias", "[8]", "[16]"]);
}

#[test]
fn file_without_metadata_needs_a_process_by_name() {
    let (place, _) = place_keeping(|_| true, &[]);
    place.refuses(&REFUSED, &["--process", "sprites"]);
    place.put("whole.safetensors", model());
    place.run(&[&SAMPLE[..], &["--process", "sprites", "--out", "x.png"]].concat()).succeeds();
    let whole = ["sample", "whole.safetensors", "-n", "1", "--steps", "2", "--out", "y.png"];
    place.run(&whole).succeeds();
    let bytes = |name: &str| std::fs::read(place.path(name)).expect("samples");
    assert!(bytes("x.png") == bytes("y.png"));
}

#[test]
fn notebook_checkpoint_without_the_shortcut_needs_it_drawn() {
    let kept = |key: &str| !key.starts_with("init_conv.shortcut.");
    let (place, _) = place_keeping(kept, &[]);
    let notebook = ["--process", "sprites"];
    place.refuses(&[&REFUSED[..], &notebook].concat(), &["--draw-shortcut", "init_conv.shortcut"]);
    let drawn = |out: &str, seed: &str| {
        let options = ["--draw-shortcut", "--seed", seed, "--out", out];
        place.run(&[&SAMPLE[..], &notebook, &options].concat()).succeeds();
        std::fs::read(place.path(out)).expect("samples")
    };
    assert!(drawn("x.png", "1") == drawn("y.png", "1"));
}
