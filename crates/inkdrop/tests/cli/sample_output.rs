//! The files that samples are written to.

use std::fs;
use std::path::Path;

use super::support::{Place, place_with_model};

fn sample(place: &Place, options: &[&str]) {
    let args = ["sample", "model.safetensors", "-n", "3", "--steps", "2"];
    place.run(&[&args[..], options].concat()).succeeds();
}

fn refused(options: &[&str], words: &[&str]) {
    let place = place_with_model();
    let args = ["sample", "model.safetensors", "-n", "1", "--steps", "1"];
    place.refuses(&[&args[..], options].concat(), words);
}

fn size(path: &Path) -> (u32, u32) {
    let file = fs::File::open(path).expect("a picture");
    let mut reader = png::Decoder::new(std::io::BufReader::new(file)).read_info().expect("a PNG");
    let mut pixels = vec![0; reader.output_buffer_size().expect("a size")];
    reader.next_frame(&mut pixels).expect("a whole PNG");
    (reader.info().width, reader.info().height)
}

#[test]
fn png_is_a_grid_of_all() {
    let place = place_with_model();
    sample(&place, &["--out", "x.png"]);
    let (width, height) = size(&place.path("x.png"));
    assert!(width * height >= 3 * 16 * 16, "{width} x {height}");
}

#[test]
fn folder_gets_a_png_of_each() {
    let place = place_with_model();
    sample(&place, &["--out", "new/"]);
    for name in ["00000.png", "00001.png", "00002.png"] {
        assert_eq!(size(&place.path("new").join(name)), (16, 16));
    }
    assert!(place.path("new/samples.json").is_file());
    assert_eq!(fs::read_dir(place.path("new")).expect("a folder").count(), 4);
}

#[test]
fn folder_that_is_missing_is_named() {
    refused(&["--out", "no/x.png"], &["no/x.png"]);
}

#[test]
fn file_in_place_of_a_folder_is_named() {
    refused(&["--out", "kept.png/"], &["kept.png"]);
}

#[test]
fn unknown_ending_is_named_with_the_known_ones() {
    refused(&["--out", "x.jpg"], &["x.jpg", "png", "npz"]);
    refused(&["--out", "x"], &["'x'|`x`", "png", "npz"]);
}
