//! Any bytes as a picture file of any format. Pictures are small: large ones are refused by their header,
//! and decoding them would only take time.
#![no_main]

use std::fs;
use std::path::Path;

use inkdrop_data::read::{PictureOptions, Transparent, decode_picture, fit};
use libfuzzer_sys::fuzz_target;
use tempfile::TempDir;

thread_local! {
    static FOLDER: TempDir = TempDir::new().expect("a temporary folder");
}

fuzz_target!(|bytes: &[u8]| FOLDER.with(|folder| run(&folder.path().join("fuzzed.png"), bytes)));

fn run(path: &Path, bytes: &[u8]) {
    fs::write(path, bytes).expect("a writable folder");
    // Transparent pixels take another way through each decoder: on white, or dropped.
    let transparent =
        if bytes.len() % 2 == 0 { Transparent::default() } else { Transparent::Drop };
    let options = PictureOptions { transparent, max_pixels: 1 << 16, ..PictureOptions::default() };
    if let Ok(decoded) = decode_picture(path, &options) {
        let _ = fit(&decoded.picture, 8, 8);
    }
}
