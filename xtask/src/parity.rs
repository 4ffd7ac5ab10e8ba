//! `cargo xtask parity`: checks the golden cases of the PyTorch programs.

use crate::workspace::{Workspace, become_command};
use anyhow::Result;
use std::ffi::OsString;
use std::process::Command;

/// Runs inkdrop-parity and returns its exit status.
pub fn run(ws: &Workspace, args: &[OsString]) -> Result<u8> {
    ws.need_libtorch()?;
    become_command(checker(ws).args(args))
}

/// The command that builds and runs inkdrop-parity.
pub fn checker(ws: &Workspace) -> Command {
    let mut cargo = ws.cargo();
    cargo.args(["run", "--quiet", "--release", "--package", "inkdrop-parity", "--"]);
    cargo
}
