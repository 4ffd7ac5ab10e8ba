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
        .files([
            "shim/shim.cpp",
            "shim/generator.cpp",
            "shim/text.cpp",
            "shim/inference.cpp",
            "shim/winograd.cpp",
            "shim/optimiser.cpp",
            "shim/cuda.cpp",
        ])
        .warnings(false)
        .compile("inkdrop_shim");
    build_kernels();
}

/// Each for the processors that it is made for; the shim asks which one is there.
fn build_kernels() {
    const AVX2: &[&str] = &["-march=haswell"];
    const AVX512: &[&str] = &["-march=skylake-avx512", "-mprefer-vector-width=512"];
    let kernels = [
        ("norm_kernel", "normalise_anywhere", &[][..]),
        ("norm_kernel", "normalise_avx2", AVX2),
        ("norm_kernel", "normalise_avx512", AVX512),
        ("winograd_kernel", "winograd_avx512", AVX512),
    ];
    let x86 = env::var("CARGO_CFG_TARGET_ARCH").is_ok_and(|arch| arch == "x86_64");
    for (file, name, flags) in kernels.into_iter().take(if x86 { 4 } else { 1 }) {
        let mut kernel = cc::Build::new();
        for flag in flags.iter().chain(&["-ffp-contract=fast", "-Wno-psabi"]) {
            kernel.flag_if_supported(flag);
        }
        kernel
            .cpp(true)
            .std("c++17")
            .opt_level(3)
            .define("INKDROP_MACHINE", name)
            .file(format!("shim/{file}.cpp"))
            .warnings(false)
            .compile(&format!("inkdrop_{name}"));
    }
}
