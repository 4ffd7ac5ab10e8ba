//! Any bytes as a file of training images, and as the labels of two images.
#![no_main]

use std::fs;
use std::path::Path;

use inkdrop_data::npy;
use libfuzzer_sys::fuzz_target;
use tempfile::TempDir;

const IMAGES: &[u8] = include_bytes!("../seeds/npy/images.npy");

thread_local! {
    static FOLDER: TempDir = TempDir::new().expect("a temporary folder");
}

fuzz_target!(|bytes: &[u8]| FOLDER.with(|folder| run(folder.path(), bytes)));

fn run(folder: &Path, bytes: &[u8]) {
    let (fuzzed, images) = (folder.join("fuzzed.npy"), folder.join("images.npy"));
    fs::write(&fuzzed, bytes).expect("a writable folder");
    if !images.exists() {
        fs::write(&images, IMAGES).expect("a writable folder");
    }
    let _ = npy::load(&fuzzed, None);
    let _ = npy::load(&images, Some(&fuzzed));
}
