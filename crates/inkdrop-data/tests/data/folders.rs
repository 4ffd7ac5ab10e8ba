//! Folders of pictures: order, classes, sizes, channels, and files that are broken.

use std::fs;
use std::path::Path;

use inkdrop_data::folder::{Broken, Folder, FolderConfig, FolderLabels, load};
use inkdrop_data::picture::{Picture, write_image_dir, write_png};
use inkdrop_data::{Labels, sprites};
use proptest::prelude::*;
use tempfile::TempDir;

/// A folder of pictures of one gray each.
fn place(grays: &[(&str, u8)]) -> TempDir {
    let place = tempfile::tempdir().expect("a temporary folder");
    for &(name, gray) in grays {
        let path = place.path().join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a writable folder");
        write_png(path, &Picture::filled(4, 4, [gray; 3])).expect("a picture");
    }
    place
}

fn config(path: &Path, labels: FolderLabels) -> FolderConfig {
    FolderConfig { labels, ..FolderConfig::new(path) }
}

fn grays(folder: &Folder) -> Vec<u8> {
    let images = &folder.dataset.images;
    (0..images.len()).map(|index| images.image(index)[0]).collect()
}

fn ids(folder: &Folder) -> (Vec<u32>, usize) {
    match &folder.dataset.labels {
        Labels::Classes { ids, count } => (ids.clone(), *count),
        other => panic!("{other:?} are no classes"),
    }
}

fn refused(config: &FolderConfig, words: &[&str]) {
    let error = load(config, 3).expect_err("nothing to train on").to_string();
    for word in words {
        assert!(error.contains(word), "no `{word}` in: {error}");
    }
}

#[test]
fn a_written_folder_is_read() {
    let place = tempfile::tempdir().expect("a temporary folder");
    let images = sprites::dataset(3, 12).images;
    write_image_dir(place.path(), &images, None).expect("a folder of pictures");
    let folder = load(&FolderConfig::new(place.path()), 3).expect("the pictures");
    assert_eq!(folder.dataset.images, images);
    assert_eq!(folder.dataset.labels, Labels::None);
    assert!(folder.classes.is_empty() && folder.notes.is_empty());
}

#[test]
fn pictures_come_in_the_order_of_their_names() {
    let place = place(&[
        ("b.png", 2),
        ("a.PNG", 1),
        ("c.png", 3),
        (".d.png", 4),
        ("sub/a.png", 5),
        (".s/x.png", 6),
    ]);
    fs::write(place.path().join("notes.txt"), b"no picture").expect("a writable folder");
    let folder = load(&FolderConfig::new(place.path()), 3).expect("the pictures");
    assert_eq!(grays(&folder), [1, 2, 3, 5]);
}

#[test]
fn sorted_prefixes_are_the_classes() {
    let place = place(&[("dog_1.png", 1), ("cat_2_x.png", 2), ("dog_0.png", 3), ("ant_9.png", 4)]);
    let folder = load(&config(place.path(), FolderLabels::Prefix), 3).expect("the pictures");
    assert_eq!(folder.classes, ["ant", "cat", "dog"]);
    assert_eq!(grays(&folder), [4, 2, 3, 1]);
    assert_eq!(ids(&folder), (vec![0, 1, 2, 2], 3));
}

#[test]
fn a_name_without_a_prefix_is_refused() {
    for name in ["cat.png", "_1.png"] {
        let place = place(&[("dog_1.png", 1), (name, 2)]);
        refused(&config(place.path(), FolderLabels::Prefix), &[name, "cat_01.png", "rename"]);
    }
}

#[test]
fn sorted_sub_folders_are_the_classes() {
    let place = place(&[("dog/1.png", 1), ("cat/2.png", 2), ("dog/0.png", 3), (".git/x.png", 4)]);
    fs::write(place.path().join("notes.txt"), b"no picture").expect("a writable folder");
    let folder = load(&config(place.path(), FolderLabels::Folder), 3).expect("the pictures");
    assert_eq!(folder.classes, ["cat", "dog"]);
    assert_eq!(grays(&folder), [2, 3, 1]);
    assert_eq!(ids(&folder), (vec![0, 1, 1], 2));
}

#[test]
fn a_folder_of_another_kind_is_refused() {
    let flat = place(&[("cat/1.png", 1), ("x.png", 2)]);
    refused(&config(flat.path(), FolderLabels::Folder), &["x.png", "cat/01.png", "move"]);
    let hollow = place(&[("cat/1.png", 1)]);
    fs::create_dir(hollow.path().join("dog")).expect("a writable folder");
    refused(
        &config(hollow.path(), FolderLabels::Folder),
        &["dog", "a class folder without", "remove the folder"],
    );
    let empty = place(&[]);
    refused(&config(empty.path(), FolderLabels::Folder), &["no class folder"]);
    refused(&FolderConfig::new(empty.path()), &["no picture"]);
    refused(&FolderConfig::new(empty.path().join("gone")), &["gone", "cannot read"]);
    refused(&FolderConfig::new(hollow.path().join("cat/1.png")), &["1.png", "expected a folder"]);
}

#[test]
fn a_broken_file_is_named_or_left_out() {
    let place = place(&[("a_1.png", 1), ("c_1.png", 3)]);
    fs::write(place.path().join("b_1.png"), b"\x89PNG\r\n\x1a\n and no more").expect("a file");
    let failing = config(place.path(), FolderLabels::Prefix);
    refused(&failing, &["b_1.png", "broken PNG"]);
    let folder = load(&FolderConfig { broken: Broken::Skip, ..failing }, 3).expect("two pictures");
    assert_eq!(grays(&folder), [1, 3]);
    // The ids are those of all files: mending one does not renumber the others.
    assert_eq!(ids(&folder), (vec![0, 2], 3));
    let [skipped] = &folder.notes[..] else { panic!("{:?}", folder.notes) };
    assert!(skipped.to_string().contains("b_1.png"));
}

#[test]
fn a_folder_of_broken_files_is_refused() {
    let place = place(&[]);
    for name in ["a.png", "b.png"] {
        fs::write(place.path().join(name), b"RIFF").expect("a file");
    }
    let skipping = FolderConfig { broken: Broken::Skip, ..FolderConfig::new(place.path()) };
    refused(&skipping, &["none of its 2", "a.png", "WebP"]);
}

#[test]
fn several_sizes_are_refused_or_fitted() {
    let place = place(&[("a.png", 1)]);
    write_png(place.path().join("b.png"), &Picture::filled(9, 6, [2; 3])).expect("a picture");
    let config = FolderConfig { broken: Broken::Skip, ..FolderConfig::new(place.path()) };
    refused(&config, &["b.png", "9 x 6", "4 x 4", "a.png", "size"]);
    let folder = load(&FolderConfig { size: Some(3), ..config }, 3).expect("two pictures");
    assert_eq!(folder.dataset.images.view().shape(), [2, 3, 3, 3]);
    assert_eq!(grays(&folder), [1, 2]);
}

#[test]
fn one_channel_is_luma() {
    let place = place(&[]);
    write_png(place.path().join("a.png"), &Picture::filled(2, 2, [255, 0, 0])).expect("a picture");
    let folder = load(&FolderConfig::new(place.path()), 1).expect("a picture");
    assert_eq!(folder.dataset.images.bytes(), [76; 4]);
}

#[test]
fn sizes_and_channels_that_cannot_be_are_refused() {
    let place = place(&[("a.png", 1)]);
    let sized = |size| FolderConfig { size: Some(size), ..FolderConfig::new(place.path()) };
    refused(&sized(0), &["size 0", "8192"]);
    refused(&sized(usize::MAX), &["expected 1 to 8192"]);
    let error = load(&FolderConfig::new(place.path()), 2).expect_err("two channels").to_string();
    assert!(error.contains("2 channels"), "{error}");
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_named(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let place = tempfile::tempdir().expect("a temporary folder");
        let path = place.path().join("x.png");
        fs::write(path, [b"\x89PNG\r\n\x1a\n", &bytes[..]].concat()).expect("a file");
        refused(&FolderConfig::new(place.path()), &["x.png"]);
    }
}
