//! `cargo xtask test`: do all tests of the workspace hold, doc tests included.

use crate::workspace::{Workspace, run as run_child};
use anyhow::Result;
use std::ffi::OsString;

/// Threads of each tensor operation. Tests run side by side on all cores; teams of threads would
/// wait for one another, ten times as long as they compute.
const THREADS: &str = "OMP_NUM_THREADS";

/// Runs `cargo test` in release: torch-sys compiles for minutes in every profile.
pub fn run(ws: &Workspace, args: &[OsString]) -> Result<u8> {
    ws.need_libtorch()?;
    let mut cargo = ws.cargo();
    cargo.args(["test", "--release"]);
    if std::env::var_os(THREADS).is_none() {
        cargo.env(THREADS, "1");
    }
    if !names_packages(args) {
        cargo.arg("--workspace");
    }
    run_child(cargo.args(args))
}

/// Whether cargo's part of the arguments says which packages to test.
fn names_packages(args: &[OsString]) -> bool {
    let cargos = args.iter().map(|arg| arg.to_string_lossy()).take_while(|arg| arg != "--");
    cargos.into_iter().any(|arg| arg.starts_with("-p") || arg.starts_with("--package"))
}
