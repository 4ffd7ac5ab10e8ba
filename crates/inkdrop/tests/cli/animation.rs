//! Animations of the denoising.

use std::fs;
use std::path::Path;

use super::support::{Place, place_with_model};

const SAMPLE: [&str; 6] = ["sample", "model.safetensors", "-n", "3", "--steps", "4"];

fn sample(place: &Place, options: &[&str]) {
    place.run(&[&SAMPLE[..], options].concat()).succeeds();
}

fn refused(place: &Place, options: &[&str], words: &[&str]) {
    place.refuses(&[&SAMPLE[..], options].concat(), words);
}

/// The frames of an animated PNG.
fn frames(path: &Path) -> Vec<Vec<u8>> {
    let file = std::io::BufReader::new(fs::File::open(path).expect("an animation"));
    let mut reader = png::Decoder::new(file).read_info().expect("a PNG");
    let count = reader.info().animation_control().expect("an animation").num_frames;
    let frame = |_| {
        let mut pixels = vec![0; reader.output_buffer_size().expect("a size")];
        reader.next_frame(&mut pixels).expect("a whole frame");
        pixels
    };
    (0..count).map(frame).collect()
}

/// The pixels of a still picture.
fn still(path: &Path) -> Vec<u8> {
    let file = std::io::BufReader::new(fs::File::open(path).expect("a picture"));
    let mut reader = png::Decoder::new(file).read_info().expect("a PNG");
    let mut pixels = vec![0; reader.output_buffer_size().expect("a size")];
    reader.next_frame(&mut pixels).expect("a whole picture");
    pixels
}

#[test]
fn gif_is_an_animation_by_both_names() {
    let place = place_with_model();
    sample(&place, &["--out", "x.png", "--gif", "x.gif"]);
    sample(&place, &["--out", "x.png", "--animation", "y.GIF"]);
    let bytes = fs::read(place.path("x.gif")).expect("an animation");
    assert!(bytes.starts_with(b"GIF89a"));
    assert_eq!(bytes.last(), Some(&0x3b), "no trailer");
    assert!(bytes == fs::read(place.path("y.GIF")).expect("an animation"));
}

#[test]
fn apng_ends_with_the_picture() {
    let place = place_with_model();
    for name in ["x.apng", "animation.png"] {
        sample(&place, &["--out", "x.png", "--animation", name]);
        let frames = frames(&place.path(name));
        assert_eq!(frames.len(), 4, "a frame per step");
        assert!(frames[3] == still(&place.path("x.png")), "{name}");
        assert!(frames[0] != frames[3]);
    }
}

#[test]
fn an_animation_of_what_is_predicted_differs_on_the_way() {
    let place = place_with_model();
    sample(&place, &["--out", "x.png", "--animation", "x.apng"]);
    sample(&place, &["--out", "x.png", "--animation", "x0.apng", "--animation-of", "x0"]);
    let (x, x0) = (frames(&place.path("x.apng")), frames(&place.path("x0.apng")));
    assert_eq!(x.len(), x0.len());
    assert!(x[0] != x0[0]);
    assert!(x[3] == x0[3], "the last step of DDIM ends in its prediction");
}

#[test]
fn an_animation_of_samples_that_are_there_is_the_same() {
    let place = place_with_model();
    let out = ["--batch", "2", "--out", "x/"];
    sample(&place, &[&out[..], &["--animation", "a.apng"]].concat());
    sample(&place, &[&out[..], &["--animation", "b.apng"]].concat());
    let read = |name| fs::read(place.path(name)).expect("an animation");
    assert!(read("a.apng") == read("b.apng"));
    fs::remove_file(place.path("x/00002.png")).expect("an image");
    sample(&place, &[&out[..], &["--animation", "c.apng"]].concat());
    assert!(read("a.apng") == read("c.apng"));
}

#[test]
fn a_frame_shows_64_images_at_most() {
    let place = place_with_model();
    let args = ["sample", "model.safetensors", "--steps", "1", "--rng", "torch", "--out", "x.npz"];
    for (count, name) in [("64", "some.apng"), ("80", "more.apng")] {
        place.run(&[&args[..], &["-n", count, "--animation", name]].concat()).succeeds();
    }
    let length = |name| frames(&place.path(name))[0].len();
    assert_eq!(length("some.apng"), length("more.apng"));
}

#[test]
fn places_that_cannot_hold_an_animation_are_named() {
    let place = place_with_model();
    fs::create_dir(place.path("folder.gif")).expect("a folder");
    refused(&place, &["--out", "kept.png", "--gif", "no/x.gif"], &["no/x.gif"]);
    refused(&place, &["--out", "x.png", "--animation", "folder.gif"], &["folder.gif"]);
    refused(&place, &["--out", "x.png", "--animation", "x.mp4"], &["x.mp4", ".gif, .apng or .png"]);
    refused(&place, &["--out", "x.png", "--animation", "x.png"], &["x.png", "another name"]);
    refused(&place, &["--out", "x.png", "--animation", "./x.png"], &["x.png", "another name"]);
    fs::create_dir(place.path("d")).expect("a folder");
    refused(
        &place,
        &["--out", "d/", "--animation", "d/00000.png"],
        &["d/00000.png", "another name"],
    );
    refused(&place, &["--animation-of", "x0"], &["--animation"]);
    refused(&place, &["--animation", "x.gif", "--animation-of", "eps"], &["eps", "x, x0"]);
}
