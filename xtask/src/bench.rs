//! `cargo xtask bench`: how fast is it on this machine.

use crate::compare;
use crate::workspace::{Workspace, become_command};
use anyhow::Result;
use std::ffi::OsString;

/// Compares or measures growth where that is asked for; else hands over to `cargo bench`, with the
/// same exit status.
pub fn run(ws: &Workspace, args: &[OsString]) -> Result<u8> {
    if asks(args, "--compare") || asks(args, "--against") {
        return compare::run(ws, args);
    }
    if asks(args, "--growth") {
        return compare::growth::run(ws, args);
    }
    ws.need_libtorch()?;
    let mut cargo = ws.cargo();
    // Only the bench package: the test harnesses of the others refuse criterion's arguments.
    cargo.args(["bench", "--package", "inkdrop-benches"]);
    become_command(cargo.args(args))
}

/// Whether an option stands among our own arguments, with its value in the same word or not.
fn asks(args: &[OsString], option: &str) -> bool {
    let own = args.iter().map(|arg| arg.to_string_lossy()).take_while(|arg| arg != "--");
    own.into_iter().any(|arg| arg.split('=').next() == Some(option))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn criterions_arguments_are_left_alone() {
        let asks = |text: &str| {
            let args: Vec<OsString> = text.split(' ').map(OsString::from).collect();
            asks(&args, "--compare")
        };
        assert!(asks("--compare pytorch") && asks("--filter x --compare=pytorch"));
        assert!(!asks("--bench forward") && !asks("-- --compare") && !asks("--compare-all"));
    }
}
