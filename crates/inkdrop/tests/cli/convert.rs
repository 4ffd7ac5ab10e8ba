//! Converted weights are the same weights.

use std::fs;

use inkdrop_checkpoint::StateDict;
use inkdrop_torch::tch::{Device, Kind, Tensor};

use super::networks::{
    class_conditional, context, ddpm, families, fixture, fixture_name, improved,
    place_with_weights, put_config, put_weights, weights,
};
use super::support::{Place, place_with_model, tensors};

/// What every file is converted into.
const OUTPUTS: [&str; 4] = ["x.safetensors", "x.pt", "x.pth", "x.bin"];

/// Files of PyTorch and NumPy, and their tensors.
const FILES: [(&str, &str); 6] = [
    ("kinds.pt", "kinds.safetensors"),
    ("kinds_legacy.pt", "kinds.safetensors"),
    ("kinds.safetensors", "kinds.safetensors"),
    ("big_endian.pt", "big_endian.safetensors"),
    ("arrays.npz", "arrays.safetensors"),
    ("arrays_compressed.npz", "arrays.safetensors"),
];

#[test]
fn every_format_becomes_every_other_bit_for_bit() {
    let place = Place::new();
    for (file, expected) in FILES {
        for output in OUTPUTS {
            place.run(&["convert", &fixture_name(file), output]).succeeds();
            assert!(tensors(&place.path(output)) == tensors(&fixture(expected)), "{file} {output}");
        }
    }
}

#[test]
fn a_part_comes_without_its_wrappers() {
    let place = Place::new();
    let all = StateDict::open(&fixture("training.safetensors")).expect("a fixture");
    let cases = [
        ("training.pt", "model", "model."),
        ("training.pt", "ema_model", "ema_model."),
        ("parallel.pt", "state_dict", "model."),
    ];
    for (file, part, prefix) in cases {
        place.run(&["convert", &fixture_name(file), "x.pt", "--part", part]).succeeds();
        put_weights(&place, "expected.safetensors", &all.below(prefix));
        let expected = tensors(&place.path("expected.safetensors"));
        assert!(tensors(&place.path("x.pt")) == expected, "{file} {part}");
    }
    place.run(&["convert", &fixture_name("parallel.pt"), "y.pt"]).succeeds();
    assert!(tensors(&place.path("y.pt")) == tensors(&place.path("x.pt")), "one part needs no name");
}

#[test]
fn every_family_converts_there_and_back() {
    for config in families() {
        let place = place_with_weights("model.pt", &config);
        place.run(&["convert", "model.pt", "x.safetensors"]).succeeds();
        place.run(&["convert", "x.safetensors", "y.pth"]).succeeds();
        let before = tensors(&place.path("model.pt"));
        for output in ["x.safetensors", "y.pth"] {
            assert!(tensors(&place.path(output)) == before, "{} {output}", config.family());
        }
    }
}

#[test]
fn a_file_that_explains_itself_goes_on_doing_so() {
    let place = place_with_model();
    place.run(&["convert", "model.safetensors", "x.safetensors"]).succeeds();
    let [before, after] = ["model.safetensors", "x.safetensors"].map(|name| place.path(name));
    assert!(tensors(&before) == tensors(&after));
    let [before, after] = [before, after].map(|path| StateDict::open(&path).expect("weights"));
    for key in ["model", "process", "contexts", "training"] {
        assert!(before.metadata_text(key).is_some(), "{key}");
        assert_eq!(before.metadata_text(key), after.metadata_text(key), "{key}");
    }
}

#[test]
fn the_built_in_model_converts_like_a_file() {
    let place = Place::new();
    place.run(&["convert", "sprites", "x.safetensors"]).succeeds();
    let outcome = place.run(&["convert", "sprites", "x.pt"]).succeeds();
    assert!(outcome.stdout.contains("init_conv.shortcut"), "{}", outcome.stdout);
    assert!(tensors(&place.path("x.pt")) == tensors(&place.path("x.safetensors")));
    place.run(&["convert", "sprites", "y.pt", "--drop-shortcut"]).succeeds();
    let mut all = tensors(&place.path("x.pt"));
    all.retain(|key, _| !key.starts_with("init_conv.shortcut"));
    assert!(tensors(&place.path("y.pt")) == all);
}

/// Images of a file, asked for with these options.
fn sampled(place: &Place, file: &str, options: &[&str]) -> Vec<u8> {
    let args = ["sample", file, "-n", "1", "--steps", "2", "--out", "x.npz"];
    place.run(&[&args[..], options].concat()).succeeds();
    fs::read(place.path("x.npz")).expect("samples")
}

#[test]
fn what_is_said_once_need_not_be_said_again() {
    let cases = [
        (context(), vec![], vec!["--process", "sprites"]),
        (ddpm(), vec!["--config", "net.toml"], vec!["--process", "ddpm"]),
        (improved(), vec!["--config", "net.toml"], vec!["--process", "cosine:100:rescaled"]),
        (improved(), vec!["--set", "size=16", "--set", "heads=4"], vec!["--process", "linear:50"]),
        (class_conditional(), vec!["--config", "net.toml"], vec!["--process", "cosine:100"]),
    ];
    for (config, network, process) in cases {
        let place = place_with_weights("model.pt", &config);
        put_config(&place, "net.toml", &config);
        let said = [network, process].concat();
        let convert = [&["convert", "model.pt", "x.safetensors"], &said[..]].concat();
        let outcome = place.run(&convert).succeeds();
        assert!(outcome.stdout.contains("with metadata"), "{}", outcome.stdout);
        let class: &[&str] = if config.classes().is_some() { &["--class", "3"] } else { &[] };
        let before = sampled(&place, "model.pt", &[&said, class].concat());
        assert!(sampled(&place, "x.safetensors", class) == before, "{said:?}");
    }
}

#[test]
fn what_nobody_says_is_listed() {
    let place = place_with_weights("model.pt", &improved());
    let said = |options: &[&str]| {
        let args = ["convert", "model.pt", "x.safetensors"];
        let outcome = place.run(&[&args[..], options].concat()).succeeds();
        let model = StateDict::open(&place.path("x.safetensors")).expect("weights");
        (outcome.stdout, model.metadata_text("model").is_some())
    };
    let has = |text: &str, words: &[&str]| {
        for word in words {
            assert!(text.contains(word), "no {word} in: {text}");
        }
    };
    let (text, model) = said(&[]);
    has(&text, &["its metadata lacks", "size", "heads", "--set heads=4", "--config", "--process"]);
    assert!(!model);
    let (text, model) = said(&["--process", "ddpm"]);
    has(&text, &["its metadata lacks", "heads"]);
    assert!(!model && !text.contains("--process"), "{text}");
    let (text, model) = said(&["--assume", "--process", "ddpm"]);
    has(&text, &["with metadata"]);
    assert!(model);
    place.run(&["convert", &fixture_name("kinds.pt"), "x.safetensors"]).succeeds();
    let outcome = place.run(&["convert", &fixture_name("kinds.pt"), "x.safetensors"]).succeeds();
    has(&outcome.stdout, &["its metadata lacks", "no known family"]);
}

#[test]
fn dtype_changes_floating_point_weights_alone() {
    let place = Place::new();
    let mut all = weights(&context()); // with counters of batches
    all.insert("double", Tensor::ones([2], (Kind::Double, Device::Cpu)));
    put_weights(&place, "model.safetensors", &all);
    for (name, kind) in [("f16", Kind::Half), ("bf16", Kind::BFloat16), ("f32", Kind::Float)] {
        for output in ["x.pt", "x.safetensors"] {
            place.run(&["convert", "model.safetensors", output, "--dtype", name]).succeeds();
            let converted = StateDict::open(&place.path(output)).expect("weights");
            for (key, before) in all.iter() {
                let counter = before.kind() == Kind::Int64;
                let expected = if counter { before.shallow_clone() } else { before.to_kind(kind) };
                assert_eq!(converted.get(key), Some(&expected), "{name} {key}");
                assert_eq!(converted.get(key).map(Tensor::kind), Some(expected.kind()), "{key}");
            }
        }
    }
}
