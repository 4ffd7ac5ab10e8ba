//! JPEG and GIF files: cut, damaged, giant, animated; and that no bytes make a reader panic.

use std::fs;
use std::path::PathBuf;

use inkdrop_data::folder::{FolderConfig, open};
use inkdrop_data::picture::Picture;
use inkdrop_data::read::{MOST_PIXELS, fit, read_picture};
use proptest::prelude::*;
use tempfile::TempDir;

use crate::pillow::fixture;

const KINDS: [&str; 9] = [
    "420.jpg",
    "progressive.jpg",
    "restart.jpg",
    "gray.jpg",
    "cmyk.jpeg",
    "still.gif",
    "animated.gif",
    "palette.png",
    "deep.png",
];

fn put(bytes: &[u8]) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("x.jpg");
    fs::write(&path, bytes).expect("a writable folder");
    (folder, path)
}

fn read(bytes: &[u8]) -> Result<(), String> {
    let (_folder, path) = put(bytes);
    read_picture(&path).map(|_| ()).map_err(|error| error.to_string())
}

fn picture(bytes: &[u8]) -> Picture {
    let (_folder, path) = put(bytes);
    read_picture(&path).expect("a picture")
}

fn bytes(name: &str) -> Vec<u8> {
    fs::read(fixture(name)).expect("a fixture")
}

#[test]
fn a_picture_that_ends_early_is_named() {
    for name in ["420.jpg", "progressive.jpg", "restart.jpg", "cmyk.jpeg", "still.gif"] {
        let whole = bytes(name);
        // A GIF's last bytes only say that no picture follows.
        let end = if name.ends_with("gif") { whole.len() - 8 } else { whole.len() - 1 };
        for length in (0..end).step_by(7).chain([end]) {
            let error = read(&whole[..length]).expect_err("no whole picture");
            assert!(error.contains("x.jpg") && error.len() < 300, "{name} {length}: {error}");
        }
    }
}

#[test]
fn a_mark_of_an_end_in_the_header_is_no_end() {
    let whole = bytes("420.jpg");
    // A comment that holds the mark; the picture itself is cut.
    let comment = [0xff, 0xfe, 0, 6, 0xff, 0xd9, 0xff, 0xd9];
    let with = [&whole[..2], &comment, &whole[2..]].concat();
    assert_eq!(read(&with), Ok(()));
    let error = read(&with[..with.len() - 400]).expect_err("a cut picture");
    assert!(error.contains("ends within the picture"), "{error}");
}

#[test]
fn a_giant_is_refused_before_memory_is_taken() {
    let mut jpeg = bytes("420.jpg");
    let frame = jpeg.windows(2).position(|pair| pair == [0xff, 0xc0]).expect("a frame");
    jpeg[frame + 5..frame + 9].copy_from_slice(&[0xff; 4]);
    let mut gif = bytes("still.gif");
    gif[6..10].copy_from_slice(&[0xff; 4]);
    for bytes in [jpeg, gif] {
        let error = read(&bytes).expect_err("too large");
        let words = format!("65535 x 65535 pixels, expected at most {MOST_PIXELS}");
        assert!(error.contains(&words), "{error}");
    }
}

#[test]
fn the_kind_shows_in_the_bytes() {
    for name in KINDS {
        assert_eq!(read(&bytes(name)), Ok(()), "{name} as x.jpg");
    }
}

#[test]
fn a_gif_without_a_picture_is_named_and_one_beyond_its_canvas_is_clipped() {
    let gif = bytes("still.gif");
    let mut empty = gif[..13].to_vec();
    empty[10] = 0; // no palette follows
    empty.push(b';');
    let error = read(&empty).expect_err("nothing to see");
    assert!(error.contains("GIF file"), "{error}");
    let mut narrow = gif;
    let whole = picture(&narrow);
    narrow[6..8].copy_from_slice(&[3, 0]);
    let clipped = picture(&narrow);
    assert_eq!((clipped.width(), clipped.height()), (3, whole.height()));
    let rows = whole.pixels().chunks(whole.width() * 3);
    let expected: Vec<u8> = rows.flat_map(|row| row[..9].to_vec()).collect();
    assert_eq!(clipped.pixels(), expected);
    // A frame beside the canvas leaves it empty.
    let mut beside = bytes("still.gif");
    let descriptor = [&[b',', 0, 0, 0, 0], &beside[6..10]].concat();
    let at = beside.windows(9).position(|window| window == descriptor).expect("a frame");
    beside[at + 1] = 200;
    assert!(picture(&beside).pixels().iter().all(|&value| value == 255));
    // A canvas of 0 x 0 takes the size of its frame.
    narrow[6..10].fill(0);
    assert_eq!(picture(&narrow), whole);
}

/// Whatever becomes of it, an error names the file.
fn survives(bytes: &[u8]) {
    let (folder, path) = put(bytes);
    match read_picture(&path) {
        Ok(picture) => drop(fit(&picture, 8, 8)),
        Err(error) => {
            let error = error.to_string();
            assert!(error.contains("x.jpg") && !error.contains("unforeseen"), "{error}");
        }
    }
    let streaming =
        FolderConfig { size: Some(8), memory_mib: 0, ..FolderConfig::new(folder.path()) };
    if let Err(error) = open(&streaming, 3) {
        let error = error.to_string();
        assert!(error.contains("x.jpg") && !error.contains("unforeseen"), "{error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn flipped_bytes_end_in_a_picture_or_an_error(
        kind in 0..KINDS.len(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
    ) {
        let mut bytes = bytes(KINDS[kind]);
        for (place, value) in changes {
            let place = place.index(bytes.len());
            bytes[place] = value;
        }
        survives(&bytes);
    }

    #[test]
    fn any_rest_ends_in_a_picture_or_an_error(
        kind in 0..KINDS.len(),
        start in 0..700usize,
        rest in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let bytes = bytes(KINDS[kind]);
        survives(&[&bytes[..start.min(bytes.len())], &rest].concat());
    }

    #[test]
    fn any_bytes_end_in_a_picture_or_an_error(
        start in prop::sample::select(vec![&b"\xff\xd8\xff"[..], b"GIF89a", b"\x89PNG\r\n\x1a\n", b""]),
        rest in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        survives(&[start, &rest].concat());
    }
}
