//! The invariants of docs/architecture.md, read off the workspace itself.
#![allow(missing_docs, clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// From the ground up: a crate knows only those before it.
const LAYERS: [&str; 17] = [
    "inkdrop-schedule",
    "inkdrop-report",
    "inkdrop-sprites",
    "inkdrop-data",
    "inkdrop-serve",
    "inkdrop-torch",
    "inkdrop-eval",
    "inkdrop-nn",
    "inkdrop-checkpoint",
    "inkdrop-unet",
    "inkdrop-process",
    "inkdrop-sampler",
    "inkdrop-train",
    "inkdrop-dist",
    "inkdrop",
    "inkdrop-parity",
    "inkdrop-benches",
];

/// Those that do not know each other, although one stands before the other.
const STRANGERS: [(&str, &str); 5] = [
    ("inkdrop-checkpoint", "inkdrop-unet"),
    ("inkdrop-process", "inkdrop-unet"),
    ("inkdrop-sampler", "inkdrop-unet"),
    ("inkdrop-train", "inkdrop-unet"),
    ("inkdrop-train", "inkdrop-sampler"),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

/// Names of the normal (not test) dependencies of every workspace member.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(root())
        .output()
        .unwrap();
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_string();
    let normal = |package: &Value| {
        let all = package["dependencies"].as_array().unwrap();
        all.iter().filter(|d| d["kind"].is_null()).map(|d| text(&d["name"])).collect()
    };
    let packages = metadata["packages"].as_array().unwrap();
    packages.iter().map(|package| (text(&package["name"]), normal(package))).collect()
}

#[test]
fn crates_know_only_those_below() {
    let dependencies = dependencies();
    for (name, needs) in dependencies.iter().filter(|(name, _)| *name != "xtask") {
        let height = LAYERS.iter().position(|layer| layer == name);
        let height = height.unwrap_or_else(|| panic!("{name} has no place among the layers"));
        for need in needs.iter().filter(|need| need.starts_with("inkdrop")) {
            let below = LAYERS[..height].contains(&need.as_str());
            assert!(below, "{name} knows {need}, which is not below it");
        }
    }
}

#[test]
fn strangers_do_not_know_each_other() {
    let dependencies = dependencies();
    for (a, b) in STRANGERS {
        assert!(!dependencies[a].contains(b), "{a} knows {b}");
        assert!(!dependencies[b].contains(a), "{b} knows {a}");
    }
}

#[test]
fn what_needs_no_torch_never_links_it() {
    for name in [
        "inkdrop-schedule",
        "inkdrop-sprites",
        "inkdrop-data",
        "inkdrop-report",
        "inkdrop-serve",
        "xtask",
    ] {
        let output = Command::new(env!("CARGO"))
            .args([
                "tree",
                "--offline",
                "--package",
                name,
                "--edges",
                "normal,build",
                "--prefix",
                "none",
            ])
            .current_dir(root())
            .output()
            .unwrap();
        let tree = String::from_utf8(output.stdout).unwrap();
        assert!(tree.starts_with(name), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(!tree.contains("tch v") && !tree.contains("torch-sys"), "{name} links torch");
    }
}

#[test]
fn xtask_builds_before_everything() {
    assert!(!dependencies()["xtask"].iter().any(|name| name.starts_with("inkdrop")));
}

#[test]
fn only_programs_know_anyhow_and_clap() {
    for (name, needs) in dependencies() {
        let program = ["inkdrop", "inkdrop-parity", "xtask"].contains(&name.as_str());
        for tool in ["anyhow", "clap", "indicatif"] {
            assert!(program || !needs.contains(tool), "{name} is a library and needs {tool}");
        }
    }
}

#[test]
fn only_the_checkpoint_crate_knows_the_file_format() {
    for (name, needs) in dependencies() {
        let allowed = name == "inkdrop-checkpoint";
        assert!(allowed || !needs.contains("safetensors"), "{name} reads safetensors by itself");
    }
}

/// The lint denies `unsafe` everywhere; only inkdrop-torch may lift it, and says why.
#[test]
fn unsafe_stays_behind_the_one_door() {
    let mut lifted = 0;
    for file in sources(&root()) {
        let text = fs::read_to_string(&file).unwrap();
        let here = text.contains(concat!("allow(", "unsafe_code)"));
        let behind = file.components().any(|part| part.as_os_str() == "inkdrop-torch");
        assert!(!here || behind, "{} lifts the lint", file.display());
        if here {
            lifted += 1;
            assert!(text.contains("// SAFETY:"), "{} gives no reason", file.display());
        }
    }
    assert!(lifted > 0, "this test looks in the wrong place");
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    assert!(manifest.contains("unsafe_code = \"deny\""));
}

#[test]
fn every_crate_keeps_the_workspaces_lints() {
    for name in LAYERS.iter().chain(&["xtask"]) {
        let place = match *name {
            "xtask" => root().join("xtask"),
            "inkdrop-benches" => root().join("benches"),
            name => root().join("crates").join(name),
        };
        let manifest = fs::read_to_string(place.join("Cargo.toml")).unwrap();
        assert!(manifest.contains("[lints]\nworkspace = true"), "{name}");
    }
}

/// Rust files that belong to the workspace.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for path in folder.read_dir().unwrap().map(|entry| entry.unwrap().path()) {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            files.extend(sources(&path));
        } else if name.ends_with(".rs") {
            files.push(path);
        }
    }
    files
}
