//! Builds the C++ shim and tells cargo where libtorch is, so that `cargo run`,
//! `cargo test` and doc tests find it.
//!
//! Cargo adds a link search path to the library path of what it runs only when
//! that path lies inside the target folder. So a link to libtorch's `lib` goes
//! into `OUT_DIR`, and the link is what we announce.

use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=shim");
    for name in ["LIBTORCH", "LIBTORCH_INCLUDE", "LIBTORCH_CXX11_ABI"] {
        println!("cargo:rerun-if-env-changed={name}");
    }
    let Some(lib) = env::var_os("DEP_TCH_LIBTORCH_LIB").map(PathBuf::from) else {
        return; // a documentation build without libtorch
    };
    println!("cargo:libtorch_lib={}", lib.display());
    announce(&lib);
    build_shim(&lib);
}

fn announce(lib: &Path) {
    #[cfg(unix)]
    {
        let out = env::var_os("OUT_DIR").map(PathBuf::from).expect("cargo sets OUT_DIR");
        let link = out.join("libtorch");
        let _ = fs::remove_file(&link);
        if std::os::unix::fs::symlink(lib, &link).is_ok() {
            println!("cargo:rustc-link-search=native={}", link.display());
        }
    }
}

/// With the headers and the ABI that torch-sys uses.
fn build_shim(lib: &Path) {
    let root = env::var_os("LIBTORCH_INCLUDE").map(PathBuf::from);
    let include = root.unwrap_or_else(|| lib.join("..")).join("include");
    let abi = env::var("LIBTORCH_CXX11_ABI").unwrap_or_else(|_| "1".to_string());
    cc::Build::new()
        .cpp(true)
        .std("c++17")
        .define("_GLIBCXX_USE_CXX11_ABI", abi.as_str())
        .include(&include)
        .include(include.join("torch/csrc/api/include"))
        .file("shim/shim.cpp")
        .file("shim/cuda.cpp")
        .warnings(false)
        .compile("inkdrop_shim");
}
