//! CIFAR-10 and IDX files: what is in them, and every way in which they are damaged.

use std::fs;
use std::io::Write;
use std::path::PathBuf;

use flate2::Compression;
use flate2::write::GzEncoder;
use inkdrop_data::{InMemoryDataset, Labels, cifar, idx};
use proptest::prelude::*;
use tempfile::TempDir;

fn place(files: &[(&str, &[u8])]) -> TempDir {
    let place = tempfile::tempdir().expect("a temporary folder");
    for (name, bytes) in files {
        fs::write(place.path().join(name), bytes).expect("a writable folder");
    }
    place
}

fn ids(data: &InMemoryDataset) -> (Vec<u32>, usize) {
    match &data.labels {
        Labels::Classes { ids, count } => (ids.clone(), *count),
        other => panic!("{other:?} are no classes"),
    }
}

fn says(error: &str, words: &[&str]) {
    for word in words {
        assert!(error.contains(word), "no `{word}` in: {error}");
    }
}

/// A record whose pixel `at` of plane c is `at + c` of 256.
fn record(label: u8) -> Vec<u8> {
    let plane = |c: usize| (0..1024).map(move |at| (at + c) as u8);
    std::iter::once(label).chain((0..3).flat_map(plane)).collect()
}

#[test]
fn planes_become_pixels() {
    let place = place(&[("x.bin", &[record(3), record(9)].concat())]);
    let data = cifar::load(place.path().join("x.bin")).expect("two records");
    assert_eq!(data.images.view().shape(), [2, 32, 32, 3]);
    for ((_, y, x, c), &value) in data.images.view().indexed_iter() {
        assert_eq!(value, (y * 32 + x + c) as u8);
    }
    assert_eq!(ids(&data), (vec![3, 9], 10));
}

#[test]
fn a_folder_is_its_training_batches_in_order() {
    let place = place(&[
        ("data_batch_2.bin", &record(2)),
        ("data_batch_1.bin", &record(1)),
        ("test_batch.bin", &record(7)),
        ("batches.meta.txt", b"airplane"),
    ]);
    assert_eq!(ids(&cifar::load(place.path()).expect("batches")), (vec![1, 2], 10));
    let above = tempfile::tempdir().expect("a temporary folder");
    let inner = above.path().join("cifar-10-batches-bin");
    fs::create_dir(&inner).expect("a writable folder");
    says(&cifar::load(above.path()).expect_err("none").to_string(), &["data_batch_*.bin"]);
    fs::write(inner.join("data_batch_1.bin"), record(4)).expect("a writable folder");
    assert_eq!(ids(&cifar::load(above.path()).expect("a batch")), (vec![4], 10));
    let empty = tempfile::tempdir().expect("a temporary folder");
    says(&cifar::load(empty.path()).expect_err("none").to_string(), &["data_batch_*.bin"]);
    let gone = empty.path().join("gone.bin");
    says(&cifar::load(gone).expect_err("none").to_string(), &["gone.bin", "cannot read"]);
}

#[test]
fn damaged_records_are_named() {
    let check = |bytes: &[u8], words: &[&str]| {
        let place = place(&[("x.bin", bytes)]);
        let error = cifar::load(place.path().join("x.bin")).expect_err("no records").to_string();
        says(&error, &[&["x.bin"], words].concat());
    };
    check(b"", &["0 bytes", "3073"]);
    check(&record(0)[1..], &["3072 bytes", "3073"]);
    check(&[record(0), record(1), vec![0]].concat(), &["6147 bytes", "3073", "3074"]);
    check(&[record(0), record(10)].concat(), &["label 10 of image 1", "0 to 9"]);
}

fn idx_file(magic: u32, sides: &[u32], values: &[u8]) -> Vec<u8> {
    let header = std::iter::once(&magic).chain(sides).flat_map(|number| number.to_be_bytes());
    header.chain(values.iter().copied()).collect()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

const PIXELS: [u8; 12] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 255];

fn pair(images: &[u8], labels: &[u8]) -> (TempDir, PathBuf, PathBuf) {
    let place = place(&[("x", images), ("y", labels)]);
    let (x, y) = (place.path().join("x"), place.path().join("y"));
    (place, x, y)
}

#[test]
fn idx_is_read_plain_and_compressed() {
    let (images, labels) = (idx_file(2051, &[2, 2, 3], &PIXELS), idx_file(2049, &[2], &[4, 1]));
    for (images, labels) in [(images.clone(), labels.clone()), (gzip(&images), gzip(&labels))] {
        let (_place, x, y) = pair(&images, &labels);
        let data = idx::load(&x, Some(&y)).expect("a pair");
        assert_eq!(data.images.view().shape(), [2, 2, 3, 1]);
        assert_eq!(data.images.bytes(), PIXELS);
        assert_eq!(ids(&data), (vec![4, 1], 5));
        assert_eq!(idx::load(&x, None).expect("images").labels, Labels::None);
    }
}

fn idx_error(images: &[u8], labels: &[u8]) -> String {
    let (_place, x, y) = pair(images, labels);
    idx::load(&x, Some(&y)).expect_err("no pair").to_string()
}

#[test]
fn damaged_idx_files_are_named() {
    let (good, labels) = (idx_file(2051, &[2, 2, 3], &PIXELS), idx_file(2049, &[2], &[4, 1]));
    says(&idx_error(&labels, &labels), &["x", "2049", "2051", "images"]);
    says(&idx_error(&good, &good), &["y", "2051", "2049", "labels"]);
    says(&idx_error(&good[..15], &labels), &["header", "16 bytes"]);
    says(&idx_error(b"", &labels), &["header", "16 bytes"]);
    says(&idx_error(&good[..27], &labels), &["11 bytes", "expected 12"]);
    says(&idx_error(&[&good[..], &[0]].concat(), &labels), &["more bytes", "expected 12"]);
    says(&idx_error(&idx_file(2051, &[2, 0, 3], &[]), &labels), &["shape [2, 0, 3]"]);
    says(&idx_error(&good, &idx_file(2049, &[3], &[0; 3])), &["3 labels for 2 images"]);
}

#[test]
fn a_header_that_promises_too_much_takes_no_memory() {
    let labels = idx_file(2049, &[2], &[4, 1]);
    let giant = idx_file(2051, &[u32::MAX; 3], &PIXELS);
    says(&idx_error(&giant, &labels), &["shape"]);
    says(&idx_error(&idx_file(2051, &[u32::MAX, 1024, 1024], &PIXELS), &labels), &["12 bytes"]);
}

#[test]
fn a_damaged_archive_is_named() {
    let labels = idx_file(2049, &[2], &[4, 1]);
    let whole = gzip(&idx_file(2051, &[2, 2, 3], &PIXELS));
    for length in 2..whole.len() {
        says(&idx_error(&whole[..length], &labels), &["fetch the file"]);
    }
    let mut changed = whole.clone();
    changed[whole.len() - 6] ^= 1; // its checksum
    says(&idx_error(&changed, &labels), &["cannot be read"]);
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_named(bytes in prop::collection::vec(any::<u8>(), 0..64), start in 0..4usize) {
        let starts = [vec![], vec![0, 0, 8, 3], vec![0x1f, 0x8b, 8, 0], vec![0, 0, 8, 3, 0, 0, 0, 1]];
        let (_place, x, y) = pair(&[&starts[start][..], &bytes].concat(), &bytes);
        for result in [idx::load(&x, None), idx::load(&x, Some(&y)), cifar::load(&x)] {
            if let Err(error) = result {
                says(&error.to_string(), &["/x"]);
            }
        }
    }
}
