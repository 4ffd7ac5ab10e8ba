//! `cargo xtask train|sample|edit|inspect|convert|plan|eval|report`: builds `inkdrop` and runs the subcommand.

use crate::workspace::{Workspace, become_command, run as run_child};
use anyhow::Result;
use std::ffi::OsString;

/// Builds `inkdrop` in release.
pub fn build(ws: &Workspace) -> Result<u8> {
    ws.need_libtorch()?;
    let mut cargo = ws.cargo();
    cargo.args(["build", "--release", "--package", "inkdrop"]);
    run_child(&mut cargo)
}

/// Runs `inkdrop <task> <args>` in the same folder and returns its exit status.
pub fn run(ws: &Workspace, task: &str, args: &[OsString]) -> Result<u8> {
    match build(ws)? {
        0 => become_command(ws.binary("inkdrop").arg(task).args(args)),
        failed => Ok(failed),
    }
}
