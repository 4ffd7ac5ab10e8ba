//! `cargo xtask train|sample|edit|inspect|convert|plan|eval|report`: the binary's own subcommands, built first.

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

/// Hands over to `inkdrop <task> <args>`, with the same folder and exit status.
pub fn run(ws: &Workspace, task: &str, args: &[OsString]) -> Result<u8> {
    match build(ws)? {
        0 => become_command(ws.binary("inkdrop").arg(task).args(args)),
        failed => Ok(failed),
    }
}
