//! What `inspect` says about files that others have made.

use inkdrop_checkpoint::StateDict;
use inkdrop_torch::tch::{Kind, Tensor};
use serde_json::{Value, json};

use super::convert_folder::place_with_pipeline;
use super::networks::{
    context, families, fixture, fixture_name, improved, place_with_weights, put_config,
    put_weights, together, weights,
};
use super::support::Place;

fn inspect(place: &Place, args: &[&str]) -> Value {
    let outcome = place.run(&[&["inspect"], args, &["--json"]].concat()).succeeds();
    serde_json::from_str(&outcome.stdout).expect("JSON, and nothing else")
}

fn text(place: &Place, args: &[&str]) -> String {
    place.run(&[&["inspect"], args].concat()).succeeds().stdout
}

/// Every word is there, wherever lines are broken.
fn has(text: &str, words: &[&str]) {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    for word in words {
        assert!(text.contains(word), "no {word} in: {text}");
    }
}

/// The name of a type in safetensors.
fn dtype(tensor: &Tensor) -> &'static str {
    match tensor.kind() {
        Kind::Half => "F16",
        Kind::BFloat16 => "BF16",
        Kind::Float => "F32",
        Kind::Double => "F64",
        Kind::Int64 => "I64",
        Kind::Int => "I32",
        Kind::Int16 => "I16",
        Kind::Int8 => "I8",
        Kind::Uint8 => "U8",
        _ => "BOOL",
    }
}

#[test]
fn every_format_lists_its_tensors_with_shapes_and_types() {
    let cases = [
        ("kinds.pt", "kinds.safetensors", "zip"),
        ("kinds_legacy.pt", "kinds.safetensors", "before 1.6"),
        ("arrays.npz", "arrays.safetensors", "npz"),
        ("kinds.safetensors", "kinds.safetensors", "safetensors"),
    ];
    for (file, expected, format) in cases {
        let told = inspect(&Place::new(), &[&fixture_name(file), "--stats"]);
        let expected = StateDict::open(&fixture(expected)).expect("a fixture");
        let tensors = told["tensors"].as_object().expect("an object");
        assert_eq!(tensors.len(), expected.iter().count(), "{file}");
        for (key, tensor) in expected.iter() {
            assert_eq!(tensors[key]["shape"], json!(tensor.size()), "{file} {key}");
            assert_eq!(tensors[key]["dtype"], dtype(tensor), "{file} {key}");
            let sum = f64::try_from(tensor.to_kind(Kind::Double).sum(Kind::Double));
            assert_eq!(tensors[key]["sum"].as_f64(), sum.ok(), "{file} {key}");
        }
        assert_eq!(told["family"], "unknown");
        assert_eq!(told["config"], Value::Null);
        has(told["format"].as_str().expect("text"), &[format]);
        let shown = text(&Place::new(), &[&fixture_name(file)]);
        has(&shown, &["family unknown", "no known family"]);
        assert!(expected.iter().all(|(key, _)| shown.contains(key)), "{shown}");
    }
}

#[test]
fn every_family_is_known_by_its_keys() {
    for config in families() {
        let place = place_with_weights("model.pt", &config);
        let told = inspect(&place, &["model.pt"]);
        assert_eq!(told["family"], config.family());
        assert_eq!(told["config"]["family"], config.family());
        assert_eq!(told["parameters"], config.plan().expect("a plan").parameters());
        assert_eq!(told["known_from"], "keys and shapes");
        has(&text(&place, &["model.pt"]), &[config.family(), "keys and shapes"]);
    }
}

#[test]
fn what_is_assumed_is_said_until_the_user_says_it() {
    let place = place_with_weights("model.pt", &improved());
    let told = inspect(&place, &["model.pt"]);
    assert_eq!(told["assumed"], json!({"size": "64x64", "heads": "4"}));
    has(&text(&place, &["model.pt"]), &["assumed", "heads=4", "--set"]);
    let told = inspect(&place, &["model.pt", "--set", "heads=2"]);
    assert_eq!(told["assumed"], json!({"size": "64x64"}));
    assert_eq!(told["config"]["heads"], 2);
    put_config(&place, "net.json", &improved());
    let told = inspect(&place, &["model.pt", "--config", "net.json"]);
    assert_eq!(told["assumed"], json!({}));
    assert_eq!(told["known_from"], "the command line");
}

#[test]
fn a_context_network_has_nothing_to_assume() {
    let place = place_with_weights("model.pt", &context());
    let told = inspect(&place, &["model.pt"]);
    assert_eq!(told["config"], serde_json::to_value(context()).expect("JSON"));
    assert!(!text(&place, &["model.pt"]).contains("assumed"));
}

#[test]
fn several_parts_are_listed_with_all_their_tensors() {
    let place = Place::new();
    let file = fixture_name("training.pt");
    let told = inspect(&place, &[&file]);
    assert_eq!(told["parts"], json!(["ema_model", "model"]));
    let expected = StateDict::open(&fixture("training.safetensors")).expect("a fixture");
    let tensors = told["tensors"].as_object().expect("an object");
    assert!(expected.iter().all(|(key, _)| tensors.contains_key(key)), "{told:#}");
    has(&text(&place, &[&file]), &["ema_model", "--part", "optimizer"]);
    let part = inspect(&place, &[&file, "--part", "model"]);
    assert_eq!(part["parts"], json!([]));
    let tensors = part["tensors"].as_object().expect("an object");
    assert_eq!(tensors.len(), expected.below("model.").iter().count());
    assert!(tensors.contains_key("conv.weight"));
    place.refuses(&["inspect", &file, "--part", "teacher"], &["teacher", "ema_model"]);
}

#[test]
fn the_first_part_says_what_network_all_are() {
    let place = Place::new();
    let network = weights(&improved());
    let both = together(&[("model.", &network), ("ema_model.", &network)]);
    put_weights(&place, "model.pt", &both);
    let told = inspect(&place, &["model.pt"]);
    assert_eq!(told["family"], "improved");
    assert_eq!(told["parameters"], improved().plan().expect("a plan").parameters());
    assert_eq!(told["tensors"].as_object().map(|all| all.len()), Some(2 * network.iter().count()));
}

#[test]
fn mixed_keys_are_of_no_family() {
    let place = Place::new();
    let [_, ddpm, improved, ..] = families();
    put_weights(&place, "model.pt", &together(&[("", &weights(&ddpm)), ("", &weights(&improved))]));
    assert_eq!(inspect(&place, &["model.pt"])["family"], "unknown");
    has(&text(&place, &["model.pt"]), &["family unknown", "mixes", "ddpm, improved"]);
}

#[test]
fn metadata_that_means_something_else_hides_no_tensor() {
    let place = Place::new();
    let mut all = weights(&improved());
    for key in ["model", "process", "contexts", "training"] {
        all.set_metadata_text(key, "of another program");
    }
    put_weights(&place, "model.safetensors", &all);
    let told = inspect(&place, &["model.safetensors"]);
    assert_eq!(told["tensors"].as_object().map(|all| all.len()), Some(all.iter().count()));
    assert_eq!((&told["family"], &told["process"]), (&json!("improved"), &Value::Null));
    let ignored = "metadata model, process, contexts, training of another program";
    has(&text(&place, &["model.safetensors"]), &["ignored", ignored]);
    place.run(&["convert", "model.safetensors", "x.pt"]).succeeds();
}

#[test]
fn a_folder_tells_what_its_configs_say() {
    let place = place_with_pipeline();
    let told = inspect(&place, &["pipe"]);
    assert_eq!(told["family"], "unet2d");
    assert_eq!(told["known_from"], "config.json");
    assert_eq!(told["config"]["groups"], 4);
    assert_eq!(told["process"]["schedule"]["steps"], 1000);
    has(&text(&place, &["pipe"]), &["config.json", "linear", "groups=4"]);
}

#[test]
fn what_comes_before_the_tensors_fits_a_terminal() {
    for config in families() {
        let place = place_with_weights("model.pt", &config);
        for line in text(&place, &["model.pt"]).lines() {
            assert!(line.chars().count() <= 80, "{line}");
        }
    }
    for line in text(&Place::new(), &["sprites"]).lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
}

#[test]
fn what_the_user_says_wrongly_is_refused() {
    let place = place_with_weights("model.pt", &improved());
    place.refuses(&["inspect", "model.pt", "--set", "wings=2"], &["wings", "heads"]);
    place.refuses(&["inspect", "model.pt", "--config", "none"], &["none", "plan --list"]);
    place.refuses(&["inspect", "model.pt", "--process", "none"], &["none", "cosine"]);
}
