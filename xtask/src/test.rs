//! `cargo xtask test`: runs all tests of the workspace, including doc tests.

use crate::workspace::{Workspace, run as run_child};
use anyhow::Result;
use std::ffi::OsString;
use std::process::Command;

/// Number of threads per tensor operation. Tests run in parallel on all cores. With more threads per
/// operation they would wait for each other, ten times as long as they compute.
const THREADS: &str = "OMP_NUM_THREADS";

/// Runs `cargo test --release`, since torch-sys compiles for minutes in every profile.
///
/// Without arguments examples are not built; `cargo xtask check` compiles them.
pub fn run(ws: &Workspace, args: &[OsString]) -> Result<u8> {
    ws.need_libtorch()?;
    if !args.is_empty() {
        return run_child(cargo_test(ws, names_packages(args)).args(args));
    }
    match run_child(cargo_test(ws, false).args(["--lib", "--bins", "--tests"]))? {
        0 => run_child(cargo_test(ws, false).arg("--doc")),
        failed => Ok(failed),
    }
}

fn cargo_test(ws: &Workspace, packages: bool) -> Command {
    let mut cargo = ws.cargo();
    cargo.args(["test", "--release"]);
    if std::env::var_os(THREADS).is_none() {
        cargo.env(THREADS, "1");
    }
    if !packages {
        cargo.arg("--workspace");
    }
    cargo
}

/// True if cargo's part of the arguments selects packages.
fn names_packages(args: &[OsString]) -> bool {
    let cargos = args.iter().map(|arg| arg.to_string_lossy()).take_while(|arg| arg != "--");
    cargos.into_iter().any(|arg| arg.starts_with("-p") || arg.starts_with("--package"))
}
