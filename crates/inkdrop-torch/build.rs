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
    let files = [
        "shim/shim.cpp",
        "shim/generator.cpp",
        "shim/text.cpp",
        "shim/cpu.cpp",
        "shim/packed.cpp",
        "shim/winograd.cpp",
        "shim/norm.cpp",
        "shim/rms_norm.cpp",
        "shim/dropout.cpp",
        "shim/optimiser.cpp",
        "shim/forward_ad.cpp",
        "shim/cuda.cpp",
    ];
    shim_of(lib, "c++17").files(files).compile("inkdrop_shim");
    if env::var_os("CARGO_FEATURE_DISTRIBUTED").is_some() {
        // c10d's headers need C++20, and name Gloo's types.
        shim_of(lib, "c++20")
            .define("USE_C10D_GLOO", None)
            .include("shim/gloo_stubs")
            .files(["shim/distributed.cpp", "shim/nccl.cpp"])
            .compile("inkdrop_distributed");
    }
    build_kernels();
}

fn shim_of(lib: &Path, standard: &str) -> cc::Build {
    let root = env::var_os("LIBTORCH_INCLUDE").map(PathBuf::from);
    let include = root.unwrap_or_else(|| lib.join("..")).join("include");
    let abi = env::var("LIBTORCH_CXX11_ABI").unwrap_or_else(|_| "1".to_string());
    let mut build = cc::Build::new();
    build
        .cpp(true)
        .std(standard)
        .define("_GLIBCXX_USE_CXX11_ABI", abi.as_str())
        .include(&include)
        .include(include.join("torch/csrc/api/include"))
        .warnings(false);
    build
}

/// Each kernel once for each instruction set; the shim asks which one the processor has.
fn build_kernels() {
    let x86 = env::var("CARGO_CFG_TARGET_ARCH").is_ok_and(|arch| arch == "x86_64");
    let sets: &[(&str, &[&str])] = &[
        ("baseline", &[]),
        ("avx2", &["-march=haswell"]),
        ("avx512", &["-march=skylake-avx512", "-mprefer-vector-width=512"]),
    ];
    let bf16 = ["-march=skylake-avx512", "-mprefer-vector-width=512", "-mavx512bf16"];
    let sets = sets.iter().take(if x86 { 3 } else { 1 });
    let kernels = ["norm", "rms_norm", "dropout", "winograd"];
    let mut jobs: Vec<_> = sets.flat_map(|set| kernels.map(|kernel| (kernel, *set))).collect();
    if x86 {
        jobs.push(("winograd", ("avx512_bf16", &bf16)));
    }
    for (kernel, (set, flags)) in jobs {
        let mut build = cc::Build::new();
        for flag in flags.iter().chain(&["-ffp-contract=fast", "-Wno-psabi"]) {
            build.flag_if_supported(flag);
        }
        build
            .cpp(true)
            .std("c++17")
            .opt_level(3)
            .define("INKDROP_KERNEL", format!("{kernel}_{set}").as_str())
            .file(format!("shim/{kernel}_kernel.cpp"))
            .warnings(false)
            .compile(&format!("inkdrop_{kernel}_{set}"));
    }
}
