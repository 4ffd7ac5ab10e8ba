//! `cargo xtask gpu-check`: compares the GPU's results with the CPU's, and measures its speed.

use crate::workspace::{Workspace, become_command, run as run_child};
use anyhow::Result;
use std::ffi::OsString;

const NAME: &str = "gpu_check";

/// Builds and runs the program. Exit status: 0 all correct, 1 something is wrong, 2 no GPU.
pub fn run(ws: &Workspace, args: &[OsString]) -> Result<u8> {
    ws.need_libtorch()?;
    let mut cargo = ws.cargo();
    cargo.args(["build", "--release", "--package", "inkdrop-benches", "--bin", NAME]);
    match run_child(&mut cargo)? {
        0 => become_command(ws.binary(NAME).args(args)),
        failed => Ok(failed),
    }
}
