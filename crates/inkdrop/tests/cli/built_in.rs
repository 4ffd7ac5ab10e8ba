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
