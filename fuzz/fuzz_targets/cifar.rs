//! Any bytes as a file of CIFAR-10 records.
#![no_main]

use std::fs;

use inkdrop_data::cifar;
use libfuzzer_sys::fuzz_target;
use tempfile::TempDir;

thread_local! {
    static FOLDER: TempDir = TempDir::new().expect("a temporary folder");
}

fuzz_target!(|bytes: &[u8]| FOLDER.with(|folder| {
    let path = folder.path().join("fuzzed.bin");
    fs::write(&path, bytes).expect("a writable folder");
    let _ = cifar::load(&path);
}));
