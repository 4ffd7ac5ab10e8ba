//! `cargo xtask test`: do all tests of the workspace hold, doc tests included.

use crate::workspace::{Workspace, run as run_child};
use anyhow::Result;
use std::ffi::OsString;

/// Runs `cargo test` in release: torch-sys compiles for minutes in every profile.
pub fn run(ws: &Workspace, args: &[OsString]) -> Result<u8> {
    ws.need_libtorch()?;
    let mut cargo = ws.cargo();
    run_child(cargo.args(["test", "--release", "--workspace"]).args(args))
}
