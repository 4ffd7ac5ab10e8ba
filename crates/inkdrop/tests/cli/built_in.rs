//! The model that travels in the binary.

use std::fs;

use super::support::Place;

#[test]
fn the_demo_draws_a_picture_and_an_animation() {
    let place = Place::new();
    let outcome = place.run(&["demo", "--out", "out"]).succeeds();
    assert!(outcome.stdout.contains("sprites.png") && outcome.stdout.contains("sprites.gif"));
    let decoder = png::Decoder::new(std::io::BufReader::new(
        fs::File::open(place.path("out/sprites.png")).expect("a picture"),
    ));
    let info = decoder.read_info().expect("a PNG");
    // Eight rows of eight sprites, four times as large, and their labels.
    assert!(info.info().width > 8 * 64 && info.info().height > 8 * 64);
    let gif = fs::read(place.path("out/sprites.gif")).expect("an animation");
    assert!(gif.starts_with(b"GIF89a"));
}

#[test]
fn the_built_in_name_wins_over_what_lies_around() {
    let place = Place::new();
    fs::create_dir(place.path("sprites")).expect("a folder");
    let sample = ["sample", "sprites", "-n", "1", "--steps", "2", "--out", "sprites/"];
    place.run(&sample).succeeds();
    place.run(&sample).succeeds();
    place.refuses(&["sample", "./sprites", "-n", "1"], &["./sprites"]);
}

#[test]
fn the_built_in_model_says_how_it_was_made() {
    let place = Place::new();
    let outcome = place.run(&["inspect", "sprites"]).succeeds();
    for word in ["family context", "1481027 parameters", "hero", "seed=0", "count=65536", "loss"] {
        assert!(outcome.stdout.contains(word), "no {word} in {}", outcome.stdout);
    }
}

#[test]
fn the_built_in_models_are_listed_with_their_cards() {
    let place = Place::new();
    let outcome = place.run(&["models"]).succeeds();
    for word in ["sprites:", "16 x 16 x 3", "hero", "recipe", "licence", "sliced", "MB"] {
        assert!(outcome.stdout.contains(word), "no {word} in {}", outcome.stdout);
    }
    assert!(outcome.stdout.lines().all(|line| line.chars().count() <= 80), "{}", outcome.stdout);
    let listed = place.run(&["models", "--json"]).succeeds().stdout;
    let listed: serde_json::Value = serde_json::from_str(&listed).expect("JSON");
    assert_eq!(listed[0]["name"], "sprites");
    for field in ["about", "data", "recipe", "licence"] {
        assert!(listed[0]["card"][field].as_str().is_some_and(|text| !text.is_empty()));
    }
}

/// A card travels through convert, and its sampling replaces the defaults, not what the user says.
#[test]
fn a_card_says_what_a_model_is_and_how_it_is_sampled() {
    let place = Place::new();
    let card = |sampler: &str| {
        format!(
            "about = 'x'\ndata = 'y'\nrecipe = 'z'\nlicence = 'MIT'\n[sampling]\nsampler = '{sampler}'\nspacing = 'trailing3'\n"
        )
    };
    fs::write(place.path("card.toml"), card("dpm++2m")).expect("a card");
    fs::write(place.path("wrong.toml"), card("dpm--")).expect("a card");
    let convert = |from: &str, to: &str| {
        place.run(&["convert", from, to, "--card", "card.toml"]).succeeds();
    };
    convert("sprites", "a.safetensors");
    place.run(&["convert", "a.safetensors", "b.safetensors"]).succeeds();
    let inspected = place.run(&["inspect", "b.safetensors"]).succeeds().stdout;
    assert!(inspected.contains("about=x") && inspected.contains("sampler=dpm++2m"), "{inspected}");
    let sample = |model: &str, more: &[&str]| {
        let command = ["sample", model, "-n", "2", "--out", "x.npz"];
        place.run(&[&command[..], more].concat()).succeeds();
        fs::read(place.path("x.npz")).expect("the samples")
    };
    let own = sample("b.safetensors", &[]);
    assert_eq!(own, sample("sprites", &["--sampler", "dpm++2m", "--steps", "3"]));
    let ddim = ["--sampler", "ddim", "--steps", "2"];
    assert_eq!(sample("b.safetensors", &ddim), sample("sprites", &ddim));
    // --churn is for the sampler of the file.
    fs::write(place.path("card.toml"), card("edm")).expect("a card");
    convert("sprites", "edm.safetensors");
    let named = ["--sampler", "edm", "--spacing", "trailing3", "--churn", "10"];
    assert_eq!(
        sample("edm.safetensors", &["--spacing", "trailing3", "--churn", "10"]),
        sample("sprites", &named)
    );
    place.refuses(
        &["convert", "sprites", "c.safetensors", "--card", "wrong.toml"],
        &["wrong.toml", "sampling.sampler", "dpm--"],
    );
    place.refuses(&["convert", "sprites", "c.pt", "--card", "card.toml"], &["x.safetensors"]);
}
