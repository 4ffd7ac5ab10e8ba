//! Lets the program find libtorch: in the folder of the build, or beside the program.

/// Searched after the folder of the build. `$ORIGIN` is the folder of the program.
const BESIDE: [&str; 3] = ["$ORIGIN", "$ORIGIN/libtorch/lib", "$ORIGIN/../lib"];

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let linux = std::env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "linux");
    match std::env::var("DEP_INKDROP_TORCH_LIBTORCH_LIB") {
        Ok(lib) if linux => {
            println!("cargo:rustc-link-arg-bins=-Wl,-rpath,{lib}:{}", BESIDE.join(":"));
        }
        _ => {}
    }
}
