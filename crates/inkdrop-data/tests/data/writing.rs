//! Laws of writers: a file is whole, or it is what it was before.

use std::fs;
use std::io;

use inkdrop_data::output::write_atomic;
use inkdrop_data::{DataError, Images, InMemoryDataset, Labels, npz, sprites};
use ndarray::{Array2, Array4, array};
use npyz::npz::NpzArchive;
use tempfile::TempDir;

#[test]
fn a_failure_leaves_the_old_file() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("a.txt");
    write_atomic(&path, |file| file.write_all(b"old")).unwrap();
    let result = write_atomic(&path, |file| {
        file.write_all(&[b'x'; 100_000])?;
        Err(io::Error::other("the disk is full"))
    });
    let error = result.unwrap_err().to_string();
    assert!(error.contains("a.txt") && error.contains("the disk is full"), "{error}");
    assert_eq!(fs::read(&path).unwrap(), b"old");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left behind");
    write_atomic(&path, |file| file.write_all(b"new")).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"new");
}

#[test]
fn a_folder_that_is_none_is_named() {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("file"), b"").unwrap();
    for folder in ["file", "missing"] {
        let path = dir.path().join(folder).join("a.txt");
        let error = write_atomic(&path, |_| Ok(())).unwrap_err();
        assert!(
            matches!(&error, DataError::Write { path: named, .. } if *named == path),
            "{error}"
        );
        assert!(error.to_string().contains(folder), "{error}");
    }
    let onto_a_folder = write_atomic(dir.path(), |_| Ok(()));
    assert!(onto_a_folder.is_err());
}

#[test]
fn samples_read_back() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("samples.npz");
    let images = sprites::dataset(0, 3).images;
    let context = array![[1.0f32, 0.0], [0.5, 0.6], [0.0, 1.0]];
    npz::write_samples(&path, &images, Some(&[4, -1, 2]), Some(&context)).unwrap();
    let mut archive = NpzArchive::open(&path).unwrap();
    let pixels = archive.by_name("arr_0").unwrap().unwrap();
    assert_eq!(pixels.shape(), [3, 16, 16, 3]);
    assert_eq!(pixels.into_vec::<u8>().unwrap(), images.bytes());
    let labels = archive.by_name("arr_1").unwrap().unwrap();
    assert_eq!(labels.into_vec::<i64>().unwrap(), [4, -1, 2]);
    let weights = archive.by_name("context").unwrap().unwrap();
    assert_eq!(weights.shape(), [3, 2]);
    assert_eq!(weights.into_vec::<f32>().unwrap(), context.iter().copied().collect::<Vec<_>>());
}

#[test]
fn samples_without_labels_hold_images_only() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("samples.npz");
    let images = sprites::dataset(0, 2).images;
    npz::write_samples(&path, &images, None, None).unwrap();
    let archive = NpzArchive::open(&path).unwrap();
    assert_eq!(archive.array_names().collect::<Vec<_>>(), ["arr_0"]);
    let error = npz::write_samples(&path, &images, Some(&[1]), None).unwrap_err().to_string();
    assert!(error.contains("1 labels") && error.contains("2 images"), "{error}");
    let three = Array2::zeros((3, 5));
    assert!(npz::write_samples(&path, &images, None, Some(&three)).is_err());
}

#[test]
fn images_need_their_channels_last() {
    let error = Images::new(Array4::zeros((1, 3, 16, 16))).unwrap_err().to_string();
    assert!(error.contains("[1, 3, 16, 16]"), "{error}");
    assert!(Images::new(Array4::zeros((1, 0, 16, 3))).is_err());
    let turned =
        Array4::from_shape_fn((2, 4, 5, 3), |(n, y, x, c)| (n * 60 + y * 15 + x * 3 + c) as u8);
    let turned = turned.reversed_axes();
    let turned = turned.permuted_axes([3, 2, 1, 0]);
    assert_eq!(Images::new(turned).unwrap().image(1)[..3], [60, 61, 62]);
}

#[test]
fn labels_must_go_with_their_images() {
    let images = || Images::new(Array4::zeros((2, 1, 1, 1))).unwrap();
    let check = |labels: Labels, word: &str| {
        let error = InMemoryDataset::new(images(), labels).unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
    };
    check(Labels::Classes { ids: vec![0], count: 1 }, "1 labels");
    check(Labels::Classes { ids: vec![0, 3], count: 3 }, "class 3 of image 1");
    check(Labels::Context(array![[0.0], [f32::NAN]]), "image 1");
    assert_eq!(InMemoryDataset::new(images(), Labels::None).unwrap().context_width(), None);
}

#[test]
fn images_are_selected_by_index() {
    let images = sprites::dataset(0, 4).images;
    let chosen = images.select(&[3, 0]).unwrap();
    assert_eq!((chosen.image(0), chosen.image(1)), (images.image(3), images.image(0)));
    assert!(images.select(&[4]).unwrap_err().to_string().contains("image 4"));
    assert!(images.image(4).is_empty() && images.image(usize::MAX).is_empty());
}
