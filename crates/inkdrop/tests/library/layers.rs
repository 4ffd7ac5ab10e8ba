//! The program is a thin user of the library.

use std::fs;
use std::path::Path;

/// All Rust files below a folder, with their texts.
fn sources(folder: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else {
            found.push((path.display().to_string(), fs::read_to_string(&path).unwrap()));
        }
    }
    found
}

#[test]
fn the_program_imports_no_lower_crate() {
    let files = sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cli"));
    assert!(files.len() > 20);
    for (path, text) in files {
        // The server is no lower crate: it does not know the models.
        let lower = |line: &&str| line.replace("inkdrop_serve", "").contains("inkdrop_");
        let line = text.lines().find(lower);
        assert_eq!(line, None, "{path}: use the crate as inkdrop::…");
    }
}

#[test]
fn the_library_prints_nothing() {
    let files = sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    for (path, text) in files.iter().filter(|(path, _)| !path.contains("src/cli")) {
        for word in ["println!", "eprintln!", "anyhow", "clap", "indicatif", "ctrlc"] {
            // Documentation shows programs that print.
            let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
            assert!(!code.into_iter().any(|line| line.contains(word)), "{path}: {word}");
        }
    }
}
