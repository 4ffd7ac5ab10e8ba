//! `inkdrop eval bpd`: the bound of a model on data.

use std::fs;

use serde_json::Value;

use super::support::{Place, place_with_model};

fn json(place: &Place, args: &[&str]) -> Value {
    let args = [&["eval", "bpd", "model.safetensors"], args, &["--json"]].concat();
    serde_json::from_str(&place.run(&args).succeeds().stdout).expect("JSON")
}

#[test]
fn the_total_is_the_bound_and_the_prior() {
    let place = place_with_model();
    let told = json(&place, &["sprites:3:40", "--images", "8", "--steps", "20"]);
    let number = |key: &str| told[key].as_f64().expect("a number");
    let steps = |key: &str| -> Vec<f64> {
        serde_json::from_value(told["per_step"][key].clone()).expect("numbers")
    };
    assert_eq!((told["images"].as_u64(), told["of_steps"].as_u64()), (Some(8), Some(500)));
    assert_eq!(told["steps"].as_array().map(Vec::len), Some(20));
    let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-9 * a.abs().max(1.0), "{a} and {b}");
    close(number("bits_per_dim"), number("vb") + number("prior"));
    close(number("vb"), steps("vb").iter().sum());
    for key in ["mse", "xstart_mse"] {
        close(number(key), steps(key).iter().sum::<f64>() / 20.0);
    }
    assert!(number("standard_error") > 0.0);
    assert!(number("prior") > 0.0 && number("prior") < 0.1, "almost nothing is left in x_T");
    // The noisiest step says least of the image.
    assert!(steps("xstart_mse")[19] > steps("xstart_mse")[0]);
}

#[test]
fn an_image_takes_the_same_bits_whatever_the_batch() {
    let place = place_with_model();
    let of = |batch: &str| {
        let args = ["sprites:3:6", "--batch", batch, "--steps", "ddim10", "--seed", "5"];
        json(&place, &args)["bits_per_dim"].as_f64().expect("a number")
    };
    assert!((of("6") - of("4")).abs() < 1e-5);
    let other = json(&place, &["sprites:3:6", "--steps", "ddim10", "--seed", "6"]);
    assert_ne!(other["bits_per_dim"].as_f64(), Some(of("6")));
}

/// Sub-folders that are no classes are said to be none.
#[test]
fn a_stray_picture_beside_class_folders_is_named() {
    let place = place_with_model();
    for folder in ["pics/food/", "pics/hero/"] {
        place.run(&["data", "-n", "1", "--seed", "1", "--out", folder]).succeeds();
    }
    let args = ["eval", "bpd", "model.safetensors", "pics", "--steps", "2"];
    let labelled = place.run(&args).succeeds();
    assert!(!labelled.stderr.contains("no labels"), "{}", labelled.stderr);
    fs::copy(place.path("pics/food/00000.png"), place.path("pics/stray.png")).expect("a copy");
    let stray = place.run(&args).succeeds();
    let words = ["the pictures have no labels", "stray.png"];
    assert!(words.iter().all(|word| stray.stderr.contains(word)), "{}", stray.stderr);
}

#[test]
fn the_model_is_told_what_the_data_says() {
    let place = place_with_model();
    let told = |data: &str, more: &[&str]| {
        let args = [&[data, "--steps", "4", "--images", "2"], more].concat();
        json(&place, &args)["condition"].as_str().expect("a text").to_string()
    };
    assert_eq!(told("sprites:3:4", &[]), "labels of the data");
    assert_eq!(told("sprites:3:4", &["--class", "hero"]), "--class");
    place.run(&["data", "-n", "4", "--out", "plain/"]).succeeds();
    assert_eq!(told("plain", &[]), "none (the data has no labels)");
    place.run(&["data", "-n", "4", "--out", "pair.npy"]).succeeds();
    assert_eq!(told("pair.npy", &[]), "labels of the data");
    place.run(&[
        "sample", "sprites", "-n", "2", "--steps", "2", "--class", "food", "--out", "x.npz",
    ]);
    assert_eq!(told("x.npz", &[]), "labels of the data");
}

#[test]
fn the_text_says_what_was_measured() {
    let place = place_with_model();
    let args =
        ["eval", "bpd", "model.safetensors", "sprites:3:10", "--images", "3", "--steps", "5"];
    let text = place.run(&args).succeeds().stdout;
    for word in
        ["3 of sprites:3:10, 16 x 16 x 3", "5 of 500", "bits/dim", "±", "prior", "xstart_mse"]
    {
        assert!(text.contains(word), "no `{word}` in: {text}");
    }
}

/// Folders number their classes by the alphabet, the model by its own order.
#[test]
fn classes_of_folders_are_found_by_name() {
    let place = place_with_model();
    place.run(&["data", "-n", "10", "--seed", "3", "--out", "x.npy"]).succeeds();
    place.run(&["data", "-n", "10", "--seed", "3", "--out", "x/"]).succeeds();
    let names = ["hero", "non-hero", "food", "spell", "side-facing"];
    let labels = place.path("x_labels.npy");
    let data = inkdrop_data::npy::load(&place.path("x.npy"), Some(&labels)).expect("a pair");
    let inkdrop_data::Labels::Context(rows) = data.labels else { panic!("rows of weights") };
    for (index, row) in rows.rows().into_iter().enumerate() {
        let class = names[row.iter().position(|&weight| weight == 1.0).expect("a class")];
        let folder = place.path(&format!("y/{class}"));
        fs::create_dir_all(&folder).expect("a folder");
        // The order of the array, whatever the order of the classes.
        let name = format!("{index:05}.png");
        fs::rename(place.path(&format!("x/{name}")), folder.join(&name)).expect("a picture");
    }
    // The built-in model knows its classes: told others, its error is more than twice as large.
    let of = |data: &str| {
        let args = ["eval", "bpd", "sprites", data, "--steps", "5", "--json"];
        let told: Value = serde_json::from_str(&place.run(&args).succeeds().stdout).expect("JSON");
        told["mse"].as_f64().expect("a number")
    };
    // The noise belongs to the place in the data, which is another: close, not equal.
    let (array, folder) = (of("x.npy"), of("y"));
    assert!((array / folder - 1.0).abs() < 0.02, "{array} and {folder}");
    fs::rename(place.path("y/spell"), place.path("y/spells")).expect("a class");
    place.refuses(&["eval", "bpd", "model.safetensors", "y"], &["`spells`", "side-facing"]);
}

#[test]
fn pictures_of_any_size_are_fitted_where_that_is_meant() {
    let place = place_with_model();
    place.run(&["data", "-n", "2", "--out", "x/"]).succeeds();
    let fixtures = concat!(env!("CARGO_MANIFEST_DIR"), "/../inkdrop-data/tests/fixtures/");
    for name in ["deep.png", "gray.jpg"] {
        fs::copy(format!("{fixtures}{name}"), place.path(&format!("x/{name}"))).expect("a picture");
    }
    place.refuses(&["eval", "bpd", "model.safetensors", "x"], &["x", "size"]);
    assert_eq!(json(&place, &["x", "--fit", "--steps", "2"])["images"], 4);
    let args = ["eval", "distance", "x", "sprites:1:5", "--fit", "16"];
    place.run(&args).succeeds();
}

#[test]
fn a_model_that_gives_no_numbers_is_refused() {
    let place = place_with_model();
    let mut weights = inkdrop_checkpoint::StateDict::open(&place.path("model.safetensors"));
    let weights = weights.as_mut().expect("a model");
    let key = "out.3.bias";
    let ruined = weights.get(key).expect("a weight") * f64::NAN;
    weights.insert(key, ruined);
    weights.save(&place.path("model.safetensors")).expect("a writable folder");
    let args = ["eval", "bpd", "model.safetensors", "sprites:1:2", "--steps", "2"];
    place.refuses(&args, &["image 0", "NaN"]);
}
