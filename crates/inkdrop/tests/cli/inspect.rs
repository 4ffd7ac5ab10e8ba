//! What `inspect` says about a model.

use std::collections::BTreeSet;

use inkdrop_checkpoint::StateDict;
use inkdrop_torch::tch::{Kind, Tensor};
use serde_json::Value;

use super::support::{Place, place_with_model};

fn json(place: &Place, more: &[&str]) -> Value {
    let args = ["inspect", "model.safetensors", "--json"];
    let outcome = place.run(&[&args[..], more].concat()).succeeds();
    serde_json::from_str(&outcome.stdout).expect("JSON, and nothing else")
}

/// Equal but for what reading a decimal may lose; f32 would lose a thousand times more.
fn close(left: f64, right: f64) -> bool {
    (left - right).abs() <= 1e-15 * right.abs()
}

fn weights(place: &Place) -> StateDict {
    StateDict::open(&place.path("model.safetensors")).expect("a model")
}

#[test]
fn json_describes_every_tensor() {
    let place = place_with_model();
    let told = json(&place, &[]);
    let keys: BTreeSet<_> = told["tensors"].as_object().expect("an object").keys().collect();
    let weights = weights(&place);
    assert_eq!(
        keys,
        weights.iter().map(|(key, _)| key.to_string()).collect::<Vec<_>>().iter().collect()
    );
    for (key, tensor) in weights.iter() {
        let dtype = if tensor.kind() == Kind::Int64 { "I64" } else { "F32" };
        assert_eq!(told["tensors"][key]["shape"], serde_json::json!(tensor.size()), "{key}");
        assert_eq!(told["tensors"][key]["dtype"], dtype, "{key}");
    }
}

#[test]
fn json_names_family_config_and_parameters() {
    let place = place_with_model();
    let told = json(&place, &[]);
    assert_eq!(told["family"], "context");
    for (key, value) in [("channels", 3), ("features", 8), ("contexts", 5), ("size", 16)] {
        assert_eq!(told["config"][key], value, "{key}");
    }
    let buffer = |key: &str| {
        ["running_mean", "running_var", "num_batches_tracked"].iter().any(|end| key.ends_with(end))
    };
    let weights = weights(&place);
    let trained = weights.iter().filter(|(key, _)| !buffer(key));
    let count: usize = trained.map(|(_, tensor)| tensor.numel()).sum();
    assert_eq!(told["parameters"], count);
}

#[test]
fn stats_are_sum_minimum_and_maximum_in_f64() {
    let place = place_with_model();
    let told = json(&place, &["--stats"]);
    for (key, tensor) in weights(&place).iter() {
        let tensor = tensor.to_kind(Kind::Double);
        let number = |tensor: Tensor| f64::try_from(tensor).expect("a number");
        let said = |name: &str| told["tensors"][key][name].as_f64().expect("a number");
        let sum = number(tensor.sum(Kind::Double));
        assert!(
            (said("sum") - sum).abs() <= 1e-12 * number(tensor.abs().sum(Kind::Double)),
            "{key}"
        );
        assert!(close(said("min"), number(tensor.min())), "{key}");
        assert!(close(said("max"), number(tensor.max())), "{key}");
    }
}

#[test]
fn text_names_every_tensor_and_changes_no_file() {
    let place = place_with_model();
    let before = std::fs::read(place.path("model.safetensors")).expect("a model");
    let text = place.run(&["inspect", "model.safetensors", "--stats"]).succeeds().stdout;
    for (key, _) in weights(&place).iter() {
        assert!(text.contains(key), "{key}");
    }
    assert!(["sum", "min", "max"].iter().all(|name| text.contains(name)), "{text}");
    assert!(before == std::fs::read(place.path("model.safetensors")).expect("a model"));
}

/// The null class of a model is what --null-class names.
#[test]
fn classes_and_what_else_is_known_of_the_model_are_listed() {
    let place = Place::new();
    let text = place.run(&["inspect", "fashion"]).succeeds().stdout;
    assert!(text.contains("  classes ") && text.contains("null=10"), "{text}");
    let json = place.run(&["inspect", "fashion", "--json"]).succeeds().stdout;
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(json["metadata"]["classes"]["null"], 10);
    assert!(json["metadata"]["card"].is_object() && json["metadata"]["depth"].is_null());
}
