//! `cargo xtask parity`: does inkdrop compute what the reference computed.

use crate::workspace::{Workspace, become_command};
use anyhow::Result;
use std::ffi::OsString;
use std::process::Command;

/// Hands over to inkdrop-parity, with the same exit status.
pub fn run(ws: &Workspace, args: &[OsString]) -> Result<u8> {
    ws.need_libtorch()?;
    become_command(checker(ws).args(args))
}

/// The checker of golden cases, built first.
pub fn checker(ws: &Workspace) -> Command {
    let mut cargo = ws.cargo();
    cargo.args(["run", "--quiet", "--release", "--package", "inkdrop-parity", "--"]);
    cargo
}
