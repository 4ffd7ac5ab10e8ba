//! `cargo xtask parity --online`: compares inkdrop with PyTorch on random configurations.
//!
//! The PyTorch modules are in `crates/inkdrop-parity/online`. They are checked against the golden
//! cases first, then generate new cases with random configurations.

mod convert;
pub mod python;
mod tally;

use crate::parity::checker;
use crate::workspace::{Workspace, run as run_child};
use anyhow::{Context, Result};
use clap::Parser;
use python::Python;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};
use tally::Tally;

/// Compare with PyTorch on random configurations.
///
/// The first run creates a Python environment in .libtorch/live-python: about 3 GB to download, 5 GB on disk.
#[derive(Parser)]
#[command(name = "cargo xtask parity --online", bin_name = "cargo xtask parity")]
struct Options {
    /// Generate cases with PyTorch
    #[arg(long, alias = "live")]
    online: bool,
    /// Number of cases per family
    #[arg(long, value_name = "N", default_value_t = 4)]
    count: u32,
    /// Seed of the configurations and weights [default: the time]
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    /// Only this family, or `layer`, `process`, `solver`, `train` or `curve`; may be given more than once
    #[arg(long, value_name = "NAME")]
    family: Vec<String>,
    /// Use this Python interpreter
    #[arg(long, value_name = "PATH")]
    python: Option<PathBuf>,
    /// Skip the conversion check, which loads files of `inkdrop convert` in PyTorch
    #[arg(long)]
    no_convert: bool,
    /// More case files, and other arguments of inkdrop-parity
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    rest: Vec<OsString>,
}

/// Runs all checks. Returns early if the PyTorch modules fail theirs; fails if any check fails.
pub fn run(ws: &Workspace, args: &[OsString]) -> Result<u8> {
    let program = OsString::from("parity");
    let options = Options::parse_from([program].iter().chain(args));
    ws.need_libtorch()?;
    let python = Python::find(ws, options.python.as_deref())?;
    let folder = scratch(ws)?;
    let code = steps(ws, &python, &options, &folder);
    if matches!(code, Ok(0)) {
        fs::remove_dir_all(&folder)?;
    } else {
        println!("the cases are kept in {}", folder.display());
    }
    code
}

fn steps(ws: &Workspace, python: &Python, options: &Options, folder: &Path) -> Result<u8> {
    let golden = ws.root().join("../shared/parity");
    if golden.is_dir() {
        println!("\n==> checking the PyTorch modules against the golden cases");
        match run_child(python.script("verify.py").arg(&golden))? {
            0 => {}
            failed => return Ok(failed),
        }
    } else {
        println!("the PyTorch modules are not checked: no golden cases in ../shared/parity");
    }
    let cases = folder.join("cases");
    match export(python, options, &cases)? {
        0 => {}
        failed => return Ok(failed),
    }
    println!("\n==> comparing inkdrop with the PyTorch modules");
    let (tally, checked) = Tally::of(checker(ws).arg(&cases).args(&options.rest))?;
    let written = match options.no_convert {
        true => 0,
        false => convert::run(ws, python, &cases, folder)?,
    };
    print!("\n{}", tally.summary());
    Ok(if checked != 0 { checked } else { written })
}

/// Generates the cases with PyTorch.
fn export(python: &Python, options: &Options, cases: &Path) -> Result<u8> {
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
    let seed = options.seed.unwrap_or_else(now);
    println!("\n==> generating cases; `--seed {seed}` repeats them");
    let mut export = python.script("export.py");
    export.arg("--out").arg(cases).args(["--seed", &seed.to_string()]);
    export.args(["--count", &options.count.to_string()]);
    for family in &options.family {
        export.args(["--family", family]);
    }
    run_child(&mut export)
}

/// Creates an empty folder next to the binaries.
fn scratch(ws: &Workspace) -> Result<PathBuf> {
    let beside = ws.bin_dir.parent().unwrap_or(&ws.bin_dir);
    let folder = beside.join(format!("live-{}", std::process::id()));
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    Ok(folder)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn parse(args: &str) -> Options {
        Options::try_parse_from(format!("parity {args}").split(' ')).unwrap()
    }

    #[test]
    fn unknown_arguments_are_passed_to_the_checker() {
        let options = parse("--online --count 2 --seed 7 --family ddpm --family layer one --two");
        assert_eq!((options.count, options.seed), (2, Some(7)));
        assert_eq!(options.family, ["ddpm", "layer"]);
        assert_eq!(options.rest, ["one", "--two"]);
        assert_eq!(parse("--online --two").rest, ["--two"]);
        assert!(parse("--live").online, "the option of earlier versions");
    }
}
