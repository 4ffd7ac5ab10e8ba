//! The Python interpreter of the online checks and benchmarks, and its packages.

use crate::venv::Venv;
use crate::workspace::Workspace;
use anyhow::{Context, Result, ensure};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Packages for pip. diffusers requires the others itself.
const PACKAGES: [&str; 5] = ["torch==2.11.0", "diffusers==0.35.2", "safetensors", "numpy", "scipy"];

/// The environment in `.libtorch/live-python`.
const VENV: Venv = Venv { name: "live-python", packages: &PACKAGES, size: "5 GB" };

/// Prints the versions, or fails with the missing import.
const PROBE: &str = "import diffusers, numpy, safetensors, scipy, torch; \
    print(f'PyTorch {torch.__version__}, diffusers {diffusers.__version__}')";

/// An interpreter with the packages.
pub struct Python {
    path: PathBuf,
    scripts: PathBuf,
}

impl Python {
    /// The interpreter `named`, or else that of the workspace's own environment, created if necessary.
    pub fn find(ws: &Workspace, named: Option<&Path>) -> Result<Self> {
        let path = match named {
            Some(path) => path.to_owned(),
            None => VENV.python(ws)?,
        };
        let python = Python { path, scripts: ws.root().join("crates/inkdrop-parity/online") };
        let probe = python.command().args(["-c", PROBE]).stderr(Stdio::inherit()).output();
        let probe = probe.with_context(|| format!("cannot run {}", python.path.display()))?;
        ensure!(
            probe.status.success(),
            "{} lacks one of {} (see its errors above)",
            python.path.display(),
            PACKAGES.join(", ")
        );
        println!("{} in {}", String::from_utf8_lossy(&probe.stdout).trim(), python.path.display());
        Ok(python)
    }

    /// A program of `crates/inkdrop-parity/online`.
    pub fn script(&self, name: &str) -> Command {
        self.program(&self.scripts.join(name))
    }

    /// A program of another folder.
    pub fn program(&self, path: &Path) -> Command {
        let mut command = self.command();
        command.arg(path);
        command
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.path);
        command
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("PYTHONUNBUFFERED", "1")
            .env("HF_HUB_OFFLINE", "1");
        command
    }
}
