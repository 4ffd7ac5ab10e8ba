//! Tells cargo where libtorch is, so that `cargo run`, `cargo test` and doc tests find it.
//!
//! Cargo adds a link search path to the library path of what it runs only when
//! that path lies inside the target folder. So a link to libtorch's `lib` goes
//! into `OUT_DIR`, and the link is what we announce.

use std::{env, fs, path::PathBuf};

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    let Some(lib) = env::var_os("DEP_TCH_LIBTORCH_LIB").map(PathBuf::from) else {
        return; // a documentation build without libtorch
    };
    println!("cargo:libtorch_lib={}", lib.display());

    #[cfg(unix)]
    {
        let out = env::var_os("OUT_DIR").map(PathBuf::from).expect("cargo sets OUT_DIR");
        let link = out.join("libtorch");
        let _ = fs::remove_file(&link);
        if std::os::unix::fs::symlink(&lib, &link).is_ok() {
            println!("cargo:rustc-link-search=native={}", link.display());
        }
    }
}
