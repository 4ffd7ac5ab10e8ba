//! Any bytes as a zip, tar or tar.gz archive of pictures, in memory and streamed.
#![no_main]

use std::fs;
use std::path::Path;

use inkdrop_data::folder::{self, Broken, FolderConfig, FolderLabels};
use libfuzzer_sys::fuzz_target;
use tempfile::TempDir;

thread_local! {
    static FOLDER: TempDir = TempDir::new().expect("a temporary folder");
}

fuzz_target!(|bytes: &[u8]| FOLDER.with(|folder| run(folder.path(), bytes)));

fn run(folder: &Path, bytes: &[u8]) {
    for name in ["fuzzed.zip", "fuzzed.tar", "fuzzed.tar.gz"] {
        let path = folder.join(name);
        fs::write(&path, bytes).expect("a writable folder");
        for memory_mib in [0, 1] {
            let (labels, broken) = (FolderLabels::Folder, Broken::Skip);
            let config = FolderConfig { size: Some(8), labels, broken, memory_mib, ..FolderConfig::new(&path) };
            let _ = folder::open(&config, 1);
        }
    }
}
