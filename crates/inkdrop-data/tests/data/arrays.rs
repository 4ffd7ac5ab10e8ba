//! Arrays that are streamed, archives of arrays, and every way in which those are damaged.

use std::fs;
use std::path::PathBuf;

use inkdrop_data::{DataError, InMemoryDataset, Labels, npy, npz, sprites};
use ndarray::Array2;
use proptest::prelude::*;
use tempfile::TempDir;

use crate::pillow::fixture;

fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

fn says(result: Result<impl std::fmt::Debug, DataError>, words: &[&str]) {
    let error = result.expect_err("something wrong").to_string();
    for word in words {
        assert!(error.contains(word), "no `{word}` in: {error}");
    }
}

/// Sprites as a pair of files.
fn pair(place: &TempDir, count: usize) -> (PathBuf, PathBuf, InMemoryDataset) {
    let (x, y) = (place.path().join("x.npy"), place.path().join("y.npy"));
    let data = sprites::dataset(5, count);
    npy::write(&x, &y, &data).expect("a pair");
    (x, y, data)
}

#[test]
fn a_streamed_array_is_the_one_in_memory() {
    let place = folder();
    let (x, y, data) = pair(&place, 20);
    for memory_mib in [0, 1] {
        let open = npy::open(&x, Some(&y), memory_mib).expect("a pair");
        assert_eq!((open.images.len(), open.images.shape()), (20, [16, 16, 3]));
        assert_eq!(open.labels, data.labels);
        for index in [7, 0, 19, 19, 3] {
            let mut pixels = vec![0; 768];
            open.images.read(index, &mut pixels).expect("an image");
            assert_eq!(pixels, data.images.image(index));
        }
        says(open.images.read(20, &mut [0; 768]), &["image 20"]);
        says(open.images.read(0, &mut [0; 767]), &["767 bytes"]);
    }
    let alone = npy::open(&x, None, 0).expect("images");
    assert_eq!(alone.labels, Labels::None);
}

#[test]
fn damage_is_named_when_a_streamed_array_is_opened_or_read() {
    let place = folder();
    let (x, y, _) = pair(&place, 20);
    let whole = fs::read(&x).expect("an array");
    for length in (0..whole.len()).step_by(1000) {
        fs::write(&x, &whole[..length]).expect("a file");
        says(npy::open(&x, None, 0), &["x.npy"]);
    }
    fs::write(&x, &whole).expect("a file");
    let open = npy::open(&x, None, 0).expect("images");
    fs::write(&x, &whole[..whole.len() - 1]).expect("a file");
    says(open.images.read(19, &mut [0; 768]), &["x.npy", "cannot read"]);
    open.images.read(18, &mut [0; 768]).expect("a whole image");
    fs::write(&x, &whole).expect("a file");
    let (_, fewer, _) = pair(&folder(), 19);
    says(npy::open(&x, Some(&fewer), 0), &["y.npy", "cannot read"]);
    says(npy::open(&y, None, 0), &["y.npy", "f8"]);
    let other = folder();
    let (_, fewer, _) = pair(&other, 19);
    says(npy::open(&x, Some(&fewer), 0), &["19 labels for 20 images"]);
}

#[test]
fn an_archive_is_read_as_it_was_written() {
    let place = folder();
    let path = place.path().join("x.npz");
    let images = sprites::dataset(2, 5).images;
    let context = Array2::from_shape_fn((5, 2), |(i, k)| (i * 2 + k) as f32 / 4.0);
    let write = |labels, context| {
        npz::write_samples(&path, &images, labels, context).expect("an archive");
        let data = npz::load(&path).expect("an archive");
        assert_eq!(data.images, images);
        data.labels
    };
    assert_eq!(write(None, None), Labels::None);
    let classes = Labels::Classes { ids: vec![0, 3, 1, 1, 2], count: 4 };
    assert_eq!(write(Some(&[0, 3, 1, 1, 2]), Some(&context)), classes);
    assert_eq!(write(None, Some(&context)), Labels::Context(context.clone()));
    npz::write_samples(&path, &images, Some(&[0, 0, 0, 0, -1]), None).expect("an archive");
    says(npz::load(&path), &["arr_1", "-1"]);
}

#[test]
fn labels_of_numpy_archives_are_read() {
    let labels = npz::load(fixture("plain.npz")).expect("an archive").labels;
    assert_eq!(labels, Labels::Classes { ids: vec![2, 0, 1, 2], count: 3 });
}

#[test]
fn archives_that_cannot_be_are_named() {
    let place = folder();
    let path = place.path().join("x.npz");
    says(npz::load(&path), &["x.npz", "cannot read"]);
    let (array, _, _) = pair(&place, 2);
    says(npz::load(&array), &["x.npy", "no whole archive", ".npz"]);
    let whole = fs::read(fixture("plain.npz")).expect("an archive");
    let mut renamed = whole.clone();
    let name = b"arr_0.npy";
    while let Some(at) = renamed.windows(9).position(|part| part == name) {
        renamed[at + 4] = b'7';
    }
    fs::write(&path, &renamed).expect("a file");
    says(npz::load(&path), &["no arr_0", "arr_7.npy", "np.savez"]);
    for length in (0..whole.len()).step_by(5) {
        fs::write(&path, &whole[..length]).expect("a file");
        says(npz::load(&path), &["x.npz"]);
    }
}

#[test]
fn channels_first_is_named() {
    let place = folder();
    let path = place.path().join("chw.npy");
    let text = "{'descr': '|u1', 'fortran_order': False, 'shape': (2, 3, 4, 5), }\n";
    let length = (text.len() as u16).to_le_bytes();
    let bytes = [b"\x93NUMPY\x01\x00", &length[..], text.as_bytes(), &[0; 120]].concat();
    fs::write(&path, bytes).expect("a file");
    for open in [npy::load(&path, None).map(|_| ()), npy::open(&path, None, 0).map(|_| ())] {
        says(open, &["chw.npy", "[2, 3, 4, 5]", "move the channels last", "transpose(0, 2, 3, 1)"]);
    }
}

proptest! {
    #[test]
    fn damaged_archives_end_in_data_or_an_error(
        packed: bool,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let name = if packed { "packed.npz" } else { "plain.npz" };
        let mut bytes = fs::read(fixture(name)).expect("an archive");
        for (place, value) in changes {
            let place = place.index(bytes.len());
            bytes[place] = value;
        }
        let place = folder();
        let path = place.path().join("x.npz");
        fs::write(&path, bytes).expect("a file");
        if let Err(error) = npz::load(&path) {
            prop_assert!(error.to_string().contains("x.npz") || matches!(error, DataError::Labels(_)));
        }
    }

    #[test]
    fn damaged_arrays_end_in_a_source_or_an_error(at in 0..200usize, byte: u8, cut in 0..900usize) {
        let place = folder();
        let (x, _, _) = pair(&place, 1);
        let mut bytes = fs::read(&x).expect("an array");
        bytes[at] = byte;
        bytes.truncate(cut);
        fs::write(&x, bytes).expect("a file");
        if let Ok(open) = npy::open(&x, None, 0) {
            let mut pixels = vec![0; open.images.shape().iter().product()];
            let _ = open.images.read(0, &mut pixels);
        }
    }
}
