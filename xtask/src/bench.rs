//! `cargo xtask bench`: criterion benchmarks, the comparison with PyTorch, and scaling measurements.

use crate::compare;
use crate::workspace::{Workspace, become_command};
use anyhow::Result;
use std::ffi::OsString;

/// Runs the comparison (`--compare`), the scaling measurements (`--growth`), or `cargo bench`.
///
/// The exit status is that of the command.
pub fn run(ws: &Workspace, args: &[OsString]) -> Result<u8> {
    if has_option(args, "--compare") || has_option(args, "--against") {
        return compare::run(ws, args);
    }
    if has_option(args, "--growth") {
        return compare::growth::run(ws, args);
    }
    ws.need_libtorch()?;
    let mut cargo = ws.cargo();
    // Only the bench package: the test harnesses of the others refuse criterion's arguments.
    cargo.args(["bench", "--package", "inkdrop-benches"]);
    become_command(cargo.args(args))
}

/// True if xtask's own arguments contain the option, as `--option value` or `--option=value`.
fn has_option(args: &[OsString], option: &str) -> bool {
    let own = args.iter().map(|arg| arg.to_string_lossy()).take_while(|arg| arg != "--");
    own.into_iter().any(|arg| arg.split('=').next() == Some(option))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn criterions_arguments_are_left_alone() {
        let compares = |text: &str| {
            let args: Vec<OsString> = text.split(' ').map(OsString::from).collect();
            has_option(&args, "--compare")
        };
        assert!(compares("--compare pytorch") && compares("--filter x --compare=pytorch"));
        assert!(!compares("--bench forward") && !compares("-- --compare"));
        assert!(!compares("--compare-all"));
    }
}
