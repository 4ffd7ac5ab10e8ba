//! Pictures beside what Pillow makes of them; `tests/fixtures/make.py` made both.

use std::fs;
use std::io::Read;
use std::path::PathBuf;

use flate2::read::GzDecoder;
use inkdrop_data::npz;
use inkdrop_data::picture::Picture;
use inkdrop_data::read::{fit, luma, read_picture};

pub fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// One answer of Pillow.
struct Answer {
    name: String,
    sides: (usize, usize),
    bytes: Vec<u8>,
}

/// The answers of a kind.
fn answers(kind: &str) -> Vec<Answer> {
    let mut all = Vec::new();
    let packed = fs::File::open(fixture("expected.bin.gz")).expect("the answers");
    GzDecoder::new(packed).read_to_end(&mut all).expect("the answers");
    let table = fs::read_to_string(fixture("expected.txt")).expect("the table of answers");
    let mut answers = Vec::new();
    for line in table.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let number = |at: usize| words[at].parse::<usize>().expect("a number");
        if words[1] == kind {
            let (sides, start) = ((number(2), number(3)), number(4));
            let length = sides.0 * sides.1 * if kind == "luma" { 1 } else { 3 };
            let bytes = all[start..start + length].to_vec();
            answers.push(Answer { name: words[0].to_owned(), sides, bytes });
        }
    }
    answers
}

fn picture(name: &str) -> Picture {
    read_picture(fixture(name)).expect("a picture")
}

/// The largest difference, and the mean one.
fn difference(name: &str, found: &[u8], expected: &[u8]) -> (u8, f64) {
    assert_eq!(found.len(), expected.len(), "{name}");
    let all = || found.iter().zip(expected).map(|(a, b)| a.abs_diff(*b));
    let mean = all().map(f64::from).sum::<f64>() / found.len() as f64;
    let most = all().max().unwrap_or_default();
    println!("{name}: largest difference {most}, mean {mean:.4}");
    (most, mean)
}

#[test]
fn fitting_equals_pillow_to_the_bit() {
    let answers = answers("fit");
    assert_eq!(answers.len(), 15);
    for Answer { name, sides, bytes } in answers {
        let fitted = fit(&picture(&name), sides.0, sides.1).expect("a size");
        assert_eq!(difference(&name, fitted.pixels(), &bytes).0, 0, "{name}");
    }
}

#[test]
fn gray_equals_pillow_to_the_bit() {
    for Answer { name, bytes, .. } in answers("luma") {
        assert_eq!(luma(&picture(&name)).collect::<Vec<u8>>(), bytes, "{name}");
    }
}

#[test]
fn decoding_equals_pillow_but_for_16_bits() {
    let answers = answers("read");
    assert_eq!(answers.len(), 15);
    for Answer { name, sides, bytes } in answers {
        let picture = picture(&name);
        assert_eq!((picture.width(), picture.height()), sides, "{name}");
        let (most, mean) = difference(&name, picture.pixels(), &bytes);
        // Pillow takes the high byte v / 256 of 16 bits; 65535 values are exactly v / 257.
        let bound = if name == "deep.png" { (1, 0.5) } else { (0, 0.0) };
        assert!(most <= bound.0 && mean <= bound.1, "{name}: {most}, {mean}");
    }
}

#[test]
fn archives_of_numpy_are_read() {
    for Answer { name, bytes, .. } in answers("npz") {
        let data = npz::load(fixture(&name)).expect("an archive");
        assert_eq!(data.images.view().shape(), [4, 5, 6, 3]);
        assert_eq!(data.images.bytes(), bytes);
        let packed = npz::load(fixture("packed.npz")).expect("an archive");
        assert_eq!(packed.images, data.images);
    }
}
