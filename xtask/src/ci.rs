//! `cargo xtask ci`: what continuous integration runs, in one command.

use crate::workspace::Workspace;
use crate::{check, test};
use anyhow::Result;

/// Tests, then checks; the first failure's status.
pub fn run(ws: &Workspace) -> Result<u8> {
    match test::run(ws, &[])? {
        0 => check::run(ws),
        failed => Ok(failed),
    }
}
