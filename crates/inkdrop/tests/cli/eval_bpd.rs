//! `inkdrop eval bpd`: the bound of a model on data.

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

#[test]
fn the_model_is_told_what_the_data_says() {
    let place = place_with_model();
    let told = |data: &str, more: &[&str]| {
        let args = [&[data, "--steps", "4", "--images", "2"], more].concat();
        json(&place, &args)["told"].as_str().expect("a text").to_string()
    };
    assert_eq!(told("sprites:3:4", &[]), "the data's labels");
    assert_eq!(told("sprites:3:4", &["--class", "hero"]), "what --class says");
    place.run(&["data", "-n", "4", "--out", "plain/"]).succeeds();
    assert_eq!(told("plain", &[]), "nothing: the data has no labels");
    place.run(&["data", "-n", "4", "--out", "pair.npy"]).succeeds();
    assert_eq!(told("pair.npy", &[]), "the data's labels");
    place.run(&[
        "sample", "sprites", "-n", "2", "--steps", "2", "--class", "food", "--out", "x.npz",
    ]);
    assert_eq!(told("x.npz", &[]), "the data's labels");
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
