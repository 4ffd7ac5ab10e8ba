//! Training on the notebook's pair of numpy files.

use std::fs;

use inkdrop_data::{InMemoryDataset, npy, sprites};

use super::support::{Place, put_run};

const TRAIN: [&str; 4] = ["train", "mine.toml", "--out", "run"];

/// A folder with a pair of 8 sprites and a config that trains on it.
fn place_with_pair() -> Place {
    let place = Place::new();
    put_config(&place, "5");
    write_pair(&place, "x.npy", "x_labels.npy", 8);
    place
}

fn put_config(place: &Place, contexts: &str) {
    let absolute = |name: &str| format!("{:?}", place.path(name));
    let (images, labels) = (absolute("x.npy"), absolute("x_labels.npy"));
    let data = format!("kind = \"npy\"\nimages = {images}\nlabels = {labels}");
    put_run(place, "3", contexts, &data);
}

fn write_pair(place: &Place, images: &str, labels: &str, count: usize) -> InMemoryDataset {
    let data = sprites::dataset(1, count);
    npy::write(&place.path(images), &place.path(labels), &data).expect("a writable folder");
    data
}

/// Rewrites a file in the folder.
fn edit(place: &Place, name: &str, change: impl FnOnce(Vec<u8>) -> Vec<u8>) {
    let bytes = fs::read(place.path(name)).expect("a file to edit");
    place.put(name, &change(bytes));
}

#[test]
fn the_written_pair_trains() {
    let place = place_with_pair();
    place.run(&["data", "-n", "64", "--seed", "1", "--out", "x.npy"]).succeeds();
    place.run(&TRAIN).succeeds();
    assert!(place.path("run/final.safetensors").is_file());
}

#[test]
fn missing_file_is_named() {
    for name in ["x.npy", "x_labels.npy"] {
        let place = place_with_pair();
        fs::remove_file(place.path(name)).expect("a file");
        place.refuses(&TRAIN, &[name]);
    }
}

#[test]
fn truncated_file_is_named() {
    for name in ["x.npy", "x_labels.npy"] {
        let place = place_with_pair();
        edit(&place, name, |bytes| bytes[..bytes.len() - 7].to_vec());
        place.refuses(&TRAIN, &[name]);
    }
}

#[test]
fn file_cut_in_its_header_is_named() {
    let place = place_with_pair();
    edit(&place, "x.npy", |bytes| bytes[..40].to_vec());
    place.refuses(&TRAIN, &["x.npy"]);
}

#[test]
fn empty_and_foreign_files_are_named() {
    for bytes in [&b""[..], b"\x89PNG\r\n\x1a\n not an array"] {
        let place = place_with_pair();
        place.put("x.npy", bytes);
        place.refuses(&TRAIN, &["x.npy"]);
    }
}

#[test]
fn damaged_header_is_named() {
    let place = place_with_pair();
    edit(&place, "x.npy", |mut bytes| {
        bytes[12..40].fill(b'?');
        bytes
    });
    place.refuses(&TRAIN, &["x.npy"]);
}

#[test]
fn labels_of_another_length_are_refused_with_both() {
    let place = place_with_pair();
    write_pair(&place, "other.npy", "x_labels.npy", 7);
    place.refuses(&TRAIN, &["7", "8", "label"]);
}

#[test]
fn labels_of_another_number_of_classes_are_refused_with_both() {
    let place = place_with_pair();
    put_config(&place, "3");
    place.refuses(&TRAIN, &["3", "5"]);
}

#[test]
fn fewer_images_than_a_batch_are_refused_with_both() {
    let place = place_with_pair();
    write_pair(&place, "x.npy", "x_labels.npy", 3);
    place.refuses(&TRAIN, &["3", "4", "batch"]);
}
