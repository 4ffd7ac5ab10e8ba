//! Any bytes as an archive of samples, and as a streamed array.
#![no_main]

use std::fs;
use std::path::Path;

use inkdrop_data::{npy, npz};
use libfuzzer_sys::fuzz_target;
use tempfile::TempDir;

thread_local! {
    static FOLDER: TempDir = TempDir::new().expect("a temporary folder");
}

fuzz_target!(|bytes: &[u8]| FOLDER.with(|folder| run(folder.path(), bytes)));

fn run(folder: &Path, bytes: &[u8]) {
    let path = folder.join("fuzzed");
    fs::write(&path, bytes).expect("a writable folder");
    let _ = npz::load(&path);
    if let Ok(open) = npy::open(&path, None, 0) {
        let mut pixels = vec![0; open.images.shape().iter().product()];
        open.images.read(open.images.len() - 1, &mut pixels).expect("the last image");
    }
}
