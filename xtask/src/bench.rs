//! `cargo xtask bench`: criterion benchmarks, the comparison with PyTorch, and scaling measurements.

use crate::python::Python;
use crate::tasks;
use crate::workspace::{Workspace, become_command, run as run_child};
use anyhow::{Result, ensure};
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;

/// The driver of the comparison and of the scaling measurements.
const DRIVER: &str = "benches/compare/driver.py";

/// Runs the comparison (`--compare`), the scaling measurements (`--growth`), or `cargo bench`.
///
/// The exit status is that of the command.
pub fn run(ws: &Workspace, args: &[OsString]) -> Result<u8> {
    let compares = has_option(args, "--compare") || has_option(args, "--against");
    let help = has_option(args, "--help") || has_option(args, "-h");
    ws.need_libtorch()?;
    if compares || has_option(args, "--growth") {
        let (named, args) = without_python(args);
        // The scaling measurements and the help need no packages.
        let mut python = match compares && !help {
            true => Python::find(ws, named)?.command(),
            false => Command::new(named.unwrap_or_else(|| PathBuf::from("python3"))),
        };
        if !help {
            build(ws)?;
        }
        python.arg(ws.root().join(DRIVER));
        return run_child(python.arg("--bin").arg(&ws.bin_dir).args(args));
    }
    let mut cargo = ws.cargo();
    // Only the bench package: the test harnesses of the others refuse criterion's arguments.
    cargo.args(["bench", "--package", "inkdrop-benches"]);
    become_command(cargo.args(args))
}

/// Takes `--python PATH` out of the arguments.
fn without_python(args: &[OsString]) -> (Option<PathBuf>, Vec<OsString>) {
    let mut rest = args.to_vec();
    let at = rest.iter().position(|arg| arg == "--python").filter(|at| at + 1 < rest.len());
    let path = at.map(|at| rest.drain(at..at + 2).next_back().map(PathBuf::from));
    (path.flatten(), rest)
}

/// Builds the programs that are compared. Two builds: one build of both packages would unify their
/// features and compile everything again.
fn build(ws: &Workspace) -> Result<()> {
    let ours = tasks::build(ws, "inkdrop-benches", &["--bin", "compare_ours"])?;
    let built = ours == 0 && tasks::build(ws, "inkdrop", &[])? == 0;
    ensure!(built, "inkdrop cannot be built (see cargo's errors above)");
    Ok(())
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
