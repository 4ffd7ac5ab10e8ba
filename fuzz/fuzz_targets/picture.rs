//! Any bytes as a picture file of any format: its header, then the image.
#![no_main]

use std::fs;
use std::path::Path;

use inkdrop_data::folder::{self, FolderConfig};
use inkdrop_data::read::{PictureOptions, Transparent, decode_picture, fit};
use libfuzzer_sys::fuzz_target;
use tempfile::TempDir;

thread_local! {
    static FOLDER: TempDir = TempDir::new().expect("a temporary folder");
}

fuzz_target!(|bytes: &[u8]| FOLDER.with(|folder| run(folder.path(), bytes)));

fn run(folder: &Path, bytes: &[u8]) {
    let path = folder.join("fuzzed.png");
    fs::write(&path, bytes).expect("a writable folder");
    let config = FolderConfig { size: Some(8), memory_mib: 0, ..FolderConfig::new(folder) };
    let _ = folder::open(&config, 1);
    let dropping = PictureOptions { transparent: Transparent::Drop, ..PictureOptions::default() };
    for options in [PictureOptions::default(), dropping] {
        if let Ok(decoded) = decode_picture(&path, &options) {
            let _ = fit(&decoded.picture, 8, 8);
        }
    }
}
