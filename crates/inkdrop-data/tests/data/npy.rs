//! Numpy files in and out, and the many ways in which they can be wrong.

use std::fs;
use std::path::{Path, PathBuf};

use inkdrop_data::{DataError, Images, InMemoryDataset, Labels, npy, sprites};
use ndarray::{Array2, Array4};
use proptest::prelude::*;
use tempfile::TempDir;

/// A numpy file, byte by byte.
fn file(descr: &str, shape: &str, values: &[u8]) -> Vec<u8> {
    let text = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}");
    let text = format!("{text:<117}\n");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((text.len() as u16).to_le_bytes());
    bytes.extend(text.as_bytes());
    bytes.extend(values);
    bytes
}

fn put(dir: &TempDir, name: &str, bytes: &[u8]) -> PathBuf {
    let path = dir.path().join(name);
    fs::write(&path, bytes).unwrap();
    path
}

fn images_file(dir: &TempDir, n: usize) -> PathBuf {
    let values: Vec<u8> = (0..n * 12).map(|i| i as u8).collect();
    put(dir, "images.npy", &file("|u1", &format!("({n}, 2, 2, 3)"), &values))
}

fn f64s(values: &[f64]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn load_labels(descr: &str, shape: &str, values: &[u8]) -> Result<Labels, DataError> {
    let dir = TempDir::new().unwrap();
    let labels = put(&dir, "labels.npy", &file(descr, shape, values));
    npy::load(&images_file(&dir, 2), Some(&labels)).map(|data| data.labels)
}

#[test]
fn what_is_written_reads_back() {
    let dir = TempDir::new().unwrap();
    let (images, labels) = (dir.path().join("x.npy"), dir.path().join("y.npy"));
    let data = sprites::dataset(0, 11);
    npy::write(&images, &labels, &data).unwrap();
    assert_eq!(npy::load(&images, Some(&labels)).unwrap(), data);
    let alone = npy::load(&images, None).unwrap();
    assert_eq!((alone.images, alone.labels), (data.images, Labels::None));
    let header = fs::read(&labels).unwrap();
    assert!(String::from_utf8_lossy(&header[..80]).contains("<f8"), "labels are float64");
}

#[test]
fn classes_are_written_one_hot() {
    let dir = TempDir::new().unwrap();
    let (x, y) = (dir.path().join("x.npy"), dir.path().join("y.npy"));
    let images = Images::new(Array4::zeros((2, 1, 1, 1))).unwrap();
    let labels = Labels::Classes { ids: vec![2, 0], count: 3 };
    npy::write(&x, &y, &InMemoryDataset::new(images, labels).unwrap()).unwrap();
    let back = npy::load(&x, Some(&y)).unwrap().labels;
    let one_hot = Array2::from_shape_vec((2, 3), vec![0.0, 0.0, 1.0, 1.0, 0.0, 0.0]).unwrap();
    assert_eq!(back, Labels::Context(one_hot));
}

#[test]
fn weights_of_every_type_become_contexts() {
    let expected =
        Labels::Context(Array2::from_shape_vec((2, 2), vec![1.0, 0.0, 0.0, 1.0]).unwrap());
    let f32s: Vec<u8> = [1f32, 0.0, 0.0, 1.0].iter().flat_map(|v| v.to_le_bytes()).collect();
    let big: Vec<u8> = [1i32, 0, 0, 1].iter().flat_map(|v| v.to_be_bytes()).collect();
    let i64s: Vec<u8> = [1i64, 0, 0, 1].iter().flat_map(|v| v.to_le_bytes()).collect();
    let cases: [(&str, Vec<u8>); 5] = [
        ("<f8", f64s(&[1.0, 0.0, 0.0, 1.0])),
        ("<f4", f32s),
        (">i4", big),
        ("<i8", i64s),
        ("|u1", vec![1, 0, 0, 1]),
    ];
    for (descr, values) in cases {
        assert_eq!(load_labels(descr, "(2, 2)", &values).unwrap(), expected, "{descr}");
    }
}

#[test]
fn mixed_contexts_are_allowed() {
    let labels = load_labels("<f8", "(2, 2)", &f64s(&[1.0, 0.6, -0.5, 2.0])).unwrap();
    assert_eq!(
        labels,
        Labels::Context(Array2::from_shape_vec((2, 2), vec![1.0, 0.6, -0.5, 2.0]).unwrap())
    );
}

#[test]
fn integer_ids_become_classes() {
    let ids: Vec<u8> = [4i64, 1].iter().flat_map(|v| v.to_le_bytes()).collect();
    for shape in ["(2,)", "(2, 1)"] {
        let labels = load_labels("<i8", shape, &ids).unwrap();
        assert_eq!(labels, Labels::Classes { ids: vec![4, 1], count: 5 }, "{shape}");
    }
}

fn check_error(result: Result<impl std::fmt::Debug, DataError>, words: &[&str]) {
    let error = result.unwrap_err().to_string();
    for word in words {
        assert!(error.contains(word), "`{error}` does not say `{word}`");
    }
}

#[test]
fn wrong_labels_are_named() {
    let minus: Vec<u8> = [0i64, -3].iter().flat_map(|v| v.to_le_bytes()).collect();
    check_error(load_labels("<i8", "(2,)", &minus), &["labels.npy", "-3", "image 1"]);
    check_error(
        load_labels("<f8", "(2, 1)", &f64s(&[0.0, f64::NAN])),
        &["labels.npy", "NaN", "image 1"],
    );
    check_error(load_labels("<f8", "(2, 1)", &f64s(&[f64::INFINITY, 0.0])), &["inf", "image 0"]);
    check_error(load_labels("<f8", "(3, 1)", &f64s(&[0.0; 3])), &["3 labels", "2 images"]);
    check_error(load_labels("<f8", "(2,)", &f64s(&[0.0; 2])), &["[2]", "f8", "integer"]);
    check_error(load_labels("<f8", "(2, 1, 1)", &f64s(&[0.0; 2])), &["[2, 1, 1]", "[N, K]"]);
    check_error(load_labels("<U4", "(2, 1)", &[0; 32]), &["<U4", "plain numbers"]);
}

fn load_images(bytes: &[u8]) -> Result<InMemoryDataset, DataError> {
    let dir = TempDir::new().unwrap();
    npy::load(&put(&dir, "images.npy", bytes), None)
}

#[test]
fn wrong_images_are_named() {
    check_error(npy::load(Path::new("no/such.npy"), None), &["no/such.npy", "cannot read"]);
    check_error(load_images(b""), &["images.npy", "empty"]);
    check_error(load_images(b"PK\x03\x04 a zip file"), &["no numpy array"]);
    check_error(
        load_images(&file("|u1", "(1, 2, 2, 3)", &[0; 12])[..40]),
        &["ends within its header"],
    );
    check_error(load_images(&file("|u1", "(1, 2, 2, 3)", &[0; 11])), &["11 bytes", "12"]);
    check_error(load_images(&file("|u1", "(1, 2, 2, 3)", &[0; 13])), &["13 bytes", "12"]);
    check_error(load_images(&file("<f4", "(1, 1, 1, 3)", &[0; 12])), &["f4", "uint8"]);
    check_error(load_images(&file("|u1", "(4, 3)", &[0; 12])), &["[4, 3]", "[N, H, W, C]"]);
    check_error(load_images(&file("|u1", "(0, 2, 2, 3)", &[])), &["at least one"]);
    check_error(
        load_images(&file("|u1", "(1, 3, 2, 2)", &[0; 12])),
        &["[1, 3, 2, 2]", "channels last"],
    );
    check_error(load_images(&file("|O", "(1,)", &[0; 8])), &["|O"]);
}

#[test]
fn fortran_order_is_named() {
    let bytes = file("|u1", "(1, 2, 2, 3)", &[0; 12]);
    let text = b"'fortran_order': False";
    let at = bytes.windows(text.len()).position(|window| window == text).unwrap();
    let mut swapped = bytes.clone();
    swapped[at..at + text.len()].copy_from_slice(b"'fortran_order': True ");
    check_error(load_images(&swapped), &["Fortran", "ascontiguousarray"]);
}

#[test]
fn a_lying_header_takes_no_memory() {
    check_error(
        load_images(&file("|u1", "(3495253, 32, 32, 3)", &[0; 12])),
        &["12 bytes", "10737417216"],
    );
    let endless = "(18446744073709551615, 18446744073709551615, 16, 3)";
    check_error(load_images(&file("|u1", endless, &[0; 12])), &["more than any file holds"]);
    let mut long = b"\x93NUMPY\x02\x00".to_vec();
    long.extend(u32::MAX.to_le_bytes());
    long.extend([b'('; 100]);
    check_error(load_images(&long), &["ends within its header"]);
    check_error(load_images(&file("|u1", "((((((((((((((((1, 2, 2, 3)", &[0; 12])), &["shape"]);
}

proptest! {
    #[test]
    fn any_bytes_end_in_data_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = load_images(&bytes);
    }

    #[test]
    fn any_header_ends_in_data_or_an_error(
        descr in "[<>|=][uifbOUSV][0-9]{0,3}",
        shape in "[(0-9, )\\[\\-]{0,40}",
        values in prop::collection::vec(any::<u8>(), 0..64),
    ) {
        let _ = load_images(&file(&descr, &shape, &values));
        let _ = load_labels(&descr, &shape, &values);
    }

    #[test]
    fn any_damage_ends_in_data_or_an_error(at in 0usize..140, byte in any::<u8>()) {
        let mut bytes = file("|u1", "(1, 2, 2, 3)", &[7; 12]);
        bytes[at] = byte;
        let _ = load_images(&bytes);
    }
}
