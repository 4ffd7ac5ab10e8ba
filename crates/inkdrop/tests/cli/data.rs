//! The generator's files.

use std::fs;

use inkdrop_data::{Labels, npy, sprites};

use super::support::Place;

#[test]
fn npy_is_the_notebook_s_pair() {
    let place = Place::new();
    place.run(&["data", "-n", "64", "--seed", "1", "--out", "x.npy"]).succeeds();
    let read = npy::load(&place.path("x.npy"), Some(&place.path("x_labels.npy"))).expect("a pair");
    let made = sprites::dataset(1, 64);
    assert_eq!(read.images, made.images);
    assert_eq!(read.context_width(), Some(5));
    let Labels::Context(rows) = &read.labels else { panic!("labels are not one-hot rows") };
    for row in rows.rows() {
        assert_eq!(row.sum(), 1.0);
        assert_eq!(row.iter().filter(|&&weight| weight == 1.0).count(), 1);
    }
}

#[test]
fn npy_has_the_notebook_s_types() {
    let place = Place::new();
    place.run(&["data", "-n", "3", "--out", "x.npy"]).succeeds();
    let header = |name: &str| {
        let file = fs::File::open(place.path(name)).expect("a file");
        let file = npyz::NpyFile::new(std::io::BufReader::new(file)).expect("an array");
        (file.shape().to_vec(), file.dtype().descr())
    };
    assert_eq!(header("x.npy"), (vec![3, 16, 16, 3], "'|u1'".to_string()));
    assert_eq!(header("x_labels.npy"), (vec![3, 5], "'<f8'".to_string()));
}

#[test]
fn png_is_a_picture() {
    let place = Place::new();
    place.run(&["data", "-n", "10", "--out", "x.png"]).succeeds();
    let file = fs::File::open(place.path("x.png")).expect("a file");
    let reader = png::Decoder::new(std::io::BufReader::new(file)).read_info().expect("a PNG");
    assert!(reader.info().width >= 16 && reader.info().height >= 5 * 16);
}

#[test]
fn a_folder_gets_a_picture_each() {
    let place = Place::new();
    let args = ["data", "-n", "7", "--seed", "3", "--out", "x/"];
    place.run(&args).succeeds();
    let images = sprites::dataset(3, 7).images;
    for index in 0..7 {
        let path = place.path(&format!("x/0000{index}.png"));
        let picture = inkdrop_data::read::read_picture(path).expect("a picture");
        assert!(picture.pixels() == images.image(index));
    }
    place.refuses(&args, &["x/", "exists"]);
}

#[test]
fn bad_requests_are_refused() {
    let place = Place::new();
    place.refuses(&["data", "--out", "x.jpg"], &["x.jpg", "png", "npy"]);
    place.refuses(&["data", "-n", "0", "--out", "x.npy"], &["0", "-n|count"]);
    place.refuses(&["data", "--out", "no/x.npy"], &["no/x.npy"]);
}
