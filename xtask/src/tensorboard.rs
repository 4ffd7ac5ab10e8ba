//! `cargo xtask tensorboard`: checks that TensorBoard reads inkdrop's event files.

use crate::venv::Venv;
use crate::workspace::{Workspace, run as run_child};
use anyhow::{Context, Result};
use clap::Args;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// The environment in `.libtorch/tensorboard-python`.
const VENV: Venv =
    Venv { name: "tensorboard-python", packages: &["tensorboard==2.21.0"], size: "150 MB" };

/// Options of `tensorboard`.
#[derive(Args)]
pub struct Options {
    /// Use this Python interpreter, which has tensorboard
    #[arg(long, value_name = "PATH")]
    python: Option<PathBuf>,
}

/// Writes event files with an example and reads them with TensorBoard. libtorch is not needed.
pub fn run(ws: &Workspace, options: &Options) -> Result<u8> {
    let python = match &options.python {
        Some(path) => path.clone(),
        None => VENV.python(ws)?,
    };
    let folder = ws.bin_dir.join(format!("tensorboard-{}", std::process::id()));
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let mut cargo = ws.cargo();
    cargo.args([
        "run",
        "--release",
        "--package",
        "inkdrop-report",
        "--example",
        "write_events",
        "--",
    ]);
    let code = match run_child(cargo.arg(&folder))? {
        0 => {
            let script = ws.root().join("crates/inkdrop-report/tests/read_events.py");
            run_child(Command::new(python).arg(script).arg(&folder))?
        }
        failed => failed,
    };
    fs::remove_dir_all(&folder)?;
    Ok(code)
}
