//! Any bytes as a file of IDX images, plain or gzipped, and as the labels of two images.
#![no_main]

use std::fs;
use std::path::Path;

use inkdrop_data::idx;
use libfuzzer_sys::fuzz_target;
use tempfile::TempDir;

const IMAGES: &[u8] = include_bytes!("../seeds/idx/images");

thread_local! {
    static FOLDER: TempDir = TempDir::new().expect("a temporary folder");
}

fuzz_target!(|bytes: &[u8]| FOLDER.with(|folder| run(folder.path(), bytes)));

fn run(folder: &Path, bytes: &[u8]) {
    let (fuzzed, images) = (folder.join("fuzzed"), folder.join("images"));
    fs::write(&fuzzed, bytes).expect("a writable folder");
    if !images.exists() {
        fs::write(&images, IMAGES).expect("a writable folder");
    }
    let _ = idx::load(&fuzzed, None);
    let _ = idx::load(&images, Some(&fuzzed));
}
