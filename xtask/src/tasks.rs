//! The short tasks: each builds something and runs it.

use crate::libtorch::{Choice, Device, Request};
use crate::python::Venv;
use crate::workspace::{Workspace, become_command, run};
use anyhow::{Context, Result};
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Options of `setup`.
#[derive(clap::Args)]
pub struct SetupOptions {
    /// Source of libtorch
    #[arg(long, value_enum, default_value_t)]
    source: Choice,
    /// Device that libtorch must support [default: that of the installed one, else cpu]
    #[arg(long, value_enum)]
    device: Option<Device>,
}

/// Installs libtorch if necessary and prints its description.
pub fn setup(ws: &Workspace, options: &SetupOptions) -> Result<u8> {
    let exported = ws.exported_libtorch()?;
    let request = Request { source: options.source, device: options.device, exported };
    let stamp = ws.get_libtorch(&request)?;
    let home = ws.layout.current_name().unwrap_or_default();
    println!("{} is ready in .libtorch/{home}", stamp.describe());
    Ok(0)
}

/// Builds a package in release; `more` are further arguments of cargo.
pub fn build(ws: &Workspace, package: &str, more: &[&str]) -> Result<u8> {
    ws.need_libtorch()?;
    let mut cargo = ws.cargo();
    run(cargo.args(["build", "--release", "--package", package]).args(more))
}

/// Builds `inkdrop` and runs it with `args`, which begin with its subcommand.
pub fn inkdrop(ws: &Workspace, args: &[OsString]) -> Result<u8> {
    match build(ws, "inkdrop", &[])? {
        0 => become_command(ws.binary("inkdrop").args(args)),
        failed => Ok(failed),
    }
}

/// Options of the GPU check.
#[derive(clap::Args)]
pub struct GpuOptions {
    /// cuda or cuda:N; cpu checks the CPU against itself, with small networks
    #[arg(long, default_value = "cuda")]
    device: String,
    /// Check correctness only
    #[arg(long)]
    no_timings: bool,
}

/// Tests a GPU against the CPU, then times it. Exit status: 0 all correct, 1 something is wrong, 2 no GPU.
pub fn gpu_check(ws: &Workspace, options: &GpuOptions) -> Result<u8> {
    ws.need_libtorch()?;
    let cargo = |args: &[&str]| {
        let mut cargo = ws.cargo();
        run(cargo.args(args).env("INKDROP_DEVICE", &options.device))
    };
    let test = ["test", "--release", "--quiet", "--package", "inkdrop-benches", "--test", "gpu"];
    let test = |more: &[&str]| cargo(&[&test, more].concat());
    if test(&["--no-run"])? != 0 {
        return Ok(1);
    }
    if test(&["--", "--exact", "the_device_exists"])? != 0 {
        return Ok(2);
    }
    if test(&["--", "--nocapture"])? != 0 {
        return Ok(1);
    }
    match options.no_timings {
        true => Ok(0),
        false => cargo(&["bench", "--package", "inkdrop-benches", "--bench", "gpu"]),
    }
}

/// Runs inkdrop-parity and returns its exit status.
pub fn parity(ws: &Workspace, args: &[OsString]) -> Result<u8> {
    ws.need_libtorch()?;
    become_command(checker(ws).args(args))
}

/// The command that builds and runs inkdrop-parity.
pub fn checker(ws: &Workspace) -> Command {
    let mut cargo = ws.cargo();
    cargo.args(["run", "--quiet", "--release", "--package", "inkdrop-parity", "--"]);
    cargo
}

/// Runs `cargo test --release`, since torch-sys compiles for minutes in every profile.
///
/// Without arguments examples are not built; `cargo xtask check` compiles them.
pub fn test(ws: &Workspace, args: &[OsString]) -> Result<u8> {
    ws.need_libtorch()?;
    if !args.is_empty() {
        return run(cargo_test(ws, args).args(args));
    }
    match run(cargo_test(ws, &[]).args(["--lib", "--bins", "--tests"]))? {
        0 => run(cargo_test(ws, &[]).arg("--doc")),
        failed => Ok(failed),
    }
}

/// `cargo test` with optimisation, of all packages unless the arguments select some.
fn cargo_test(ws: &Workspace, args: &[OsString]) -> Command {
    let mut cargo = ws.cargo();
    cargo.arg("test");
    // Tests run in parallel on all cores. With more threads per tensor operation they would wait for
    // each other, ten times as long as they compute.
    if std::env::var_os("OMP_NUM_THREADS").is_none() {
        cargo.env("OMP_NUM_THREADS", "1");
    }
    if !has_option(args, &["--release", "-r", "--profile"]) {
        cargo.arg("--release");
    }
    if !has_option(args, &["-p", "--package", "--workspace", "--all"]) {
        cargo.arg("--workspace");
    }
    cargo
}

/// True if one of these options is in cargo's part of the arguments.
fn has_option(args: &[OsString], options: &[&str]) -> bool {
    let mut cargos = args.iter().map(|arg| arg.to_string_lossy()).take_while(|arg| arg != "--");
    cargos.any(|arg| {
        let is = |option: &&str| match option.starts_with("--") {
            true => arg == **option || arg.starts_with(&format!("{option}=")),
            false => arg.starts_with(*option) && !arg.starts_with("--"),
        };
        options.iter().any(is)
    })
}

/// The environment in `.libtorch/tensorboard-python`.
const TENSORBOARD: Venv =
    Venv { name: "tensorboard-python", packages: &["tensorboard==2.21.0"], size: "150 MB" };

/// Writes event files with an example and reads them with TensorBoard. libtorch is not needed.
pub fn tensorboard(ws: &Workspace, python: Option<PathBuf>) -> Result<u8> {
    let python = python.map_or_else(|| TENSORBOARD.python(ws), Ok)?;
    let folder = ws.bin_dir.join(format!("tensorboard-{}", std::process::id()));
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let mut cargo = ws.cargo();
    cargo.args(["run", "--release", "--package", "inkdrop-report"]);
    cargo.args(["--example", "write_events", "--"]).arg(&folder);
    let mut code = run(&mut cargo)?;
    if code == 0 {
        let script = ws.root().join("crates/inkdrop-report/tests/read_events.py");
        code = run(Command::new(python).arg(script).arg(&folder))?;
    }
    fs::remove_dir_all(&folder)?;
    Ok(code)
}

/// The environment in `.libtorch/page-python`.
const PAGE: Venv = Venv { name: "page-python", packages: &["playwright==1.65.2"], size: "150 MB" };

/// Builds `inkdrop` and drives its page in a browser, with Playwright.
pub fn page(ws: &Workspace, python: Option<PathBuf>, browser: &Path) -> Result<u8> {
    let browser = found(browser).with_context(|| {
        format!(
            "{} is not installed: install Chromium (`apt install chromium`), or select a browser with `--browser PATH`",
            browser.display()
        )
    })?;
    let python = python.map_or_else(|| PAGE.python(ws), Ok)?;
    let built = build(ws, "inkdrop", &[])?;
    if built != 0 {
        return Ok(built);
    }
    let script = ws.root().join("crates/inkdrop-serve/tests/page.py");
    let program = ws.bin_dir.join("inkdrop");
    run(Command::new(python).arg(script).arg(program).arg(browser).arg(ws.bin_dir.join("page")))
}

/// The path of a program, which may be a name in PATH.
fn found(program: &Path) -> Option<PathBuf> {
    if program.components().count() > 1 {
        return program.is_file().then(|| program.to_path_buf());
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_of_cargo_are_not_given_twice() {
        let given = |text: &str, options: &[&str]| {
            let args: Vec<OsString> = text.split_whitespace().map(OsString::from).collect();
            has_option(&args, options)
        };
        let packages = ["-p", "--package", "--workspace", "--all"];
        for text in ["-p inkdrop", "-pinkdrop", "--package=inkdrop", "--lib --workspace"] {
            assert!(given(text, &packages), "{text}");
        }
        for text in ["", "--lib", "--all-targets", "--profile=fast", "-- -p"] {
            assert!(!given(text, &packages), "{text}");
        }
    }
}
