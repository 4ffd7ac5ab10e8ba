//! Lets the binary find libtorch wherever the binary itself is put.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let linux = std::env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "linux");
    match std::env::var("DEP_INKDROP_TORCH_LIBTORCH_LIB") {
        Ok(lib) if linux => println!("cargo:rustc-link-arg-bins=-Wl,-rpath,{lib}"),
        _ => {}
    }
}
