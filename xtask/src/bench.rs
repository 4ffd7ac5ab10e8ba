//! `cargo xtask bench`: how fast is it on this machine.

use crate::workspace::{Workspace, become_command};
use anyhow::Result;
use std::ffi::OsString;

/// Hands over to `cargo bench`, with the same exit status.
pub fn run(ws: &Workspace, args: &[OsString]) -> Result<u8> {
    ws.need_libtorch()?;
    let mut cargo = ws.cargo();
    // Only the bench package: the test harnesses of the others refuse criterion's arguments.
    cargo.args(["bench", "--package", "inkdrop-benches"]);
    become_command(cargo.args(args))
}
