//! Python environments in `.libtorch`, created once and filled by pip, and the PyTorch modules that run in one.

use crate::libtorch::download::pip_failed;
use crate::libtorch::layout::remove;
use crate::workspace::{Workspace, run};
use anyhow::{Context, Result, bail, ensure};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Fails on Python versions that are too old for the packages.
const NEW_ENOUGH: &str = "import sys; sys.exit(sys.version_info < (3, 10))";

/// A virtual environment.
pub struct Venv {
    /// Name of its folder in `.libtorch`.
    pub name: &'static str,
    /// Packages for pip.
    pub packages: &'static [&'static str],
    /// Approximate size on disk.
    pub size: &'static str,
}

impl Venv {
    /// The interpreter. Creates the environment if it is missing or has other packages.
    pub fn python(&self, ws: &Workspace) -> Result<PathBuf> {
        let _lock = ws.layout.lock()?;
        let home = ws.layout.home(self.name);
        let (python, stamp) = (home.join("bin/python"), home.join("stamp"));
        let expected = self.packages.join("\n") + "\n";
        if python.exists() && fs::read_to_string(&stamp).is_ok_and(|stamp| stamp == expected) {
            return Ok(python);
        }
        println!("creating a Python environment in {} (about {})", home.display(), self.size);
        remove(&home)?;
        let created = self.create(&home).and_then(|()| self.install(&python, &home));
        if let Err(error) = created {
            remove(&home).ok();
            return Err(error);
        }
        fs::write(&stamp, expected).context("cannot write the environment's stamp")?;
        Ok(python)
    }

    /// Creates an empty environment.
    fn create(&self, home: &Path) -> Result<()> {
        match Command::new("python3").args(["-c", NEW_ENOUGH]).status() {
            Ok(status) if status.success() => {}
            Ok(_) => bail!("python3 is older than 3.10: select a newer one with `--python PATH`"),
            Err(error) if error.kind() == io::ErrorKind::NotFound => bail!(
                "python3 is not installed: install it (`apt install python3-venv`), \
                 or select an interpreter that has {} with `--python PATH`",
                self.packages.join(", ")
            ),
            Err(error) => return Err(error).context("cannot run python3"),
        }
        let code = run(Command::new("python3").args(["-m", "venv"]).arg(home))?;
        ensure!(
            code == 0,
            "python3 cannot create an environment (see its errors above): `apt install python3-venv`"
        );
        Ok(())
    }

    /// Installs the packages with pip, using the user's index, proxy and certificates.
    fn install(&self, python: &Path, home: &Path) -> Result<()> {
        // pip writes to TMPDIR, and the system's own is often small.
        let staging = home.join("tmp");
        fs::create_dir_all(&staging)?;
        let mut pip = Command::new(python);
        pip.args(["-m", "pip", "install", "--only-binary=:all:", "--no-input", "--no-cache-dir"])
            .arg("--disable-pip-version-check")
            .args(self.packages)
            .env("TMPDIR", &staging)
            .stdin(Stdio::null());
        let code = run(&mut pip)?;
        ensure!(code == 0, pip_failed(&format!("install {}", self.packages.join(", "))));
        Ok(remove(&staging)?)
    }
}

/// The environment of the online checks and benchmarks. diffusers requires safetensors and numpy itself. torchvision, which
/// denoising-diffusion-pytorch requires, is the release for this torch.
const PYTORCH: Venv = Venv {
    name: "live-python",
    packages: &[
        "torch==2.11.0",
        "torchvision==0.26.0",
        "diffusers==0.35.2",
        "denoising-diffusion-pytorch==2.3.4",
        "ema-pytorch==0.8.3",
        "safetensors",
        "numpy",
        "scipy",
    ],
    size: "5 GB",
};

/// Prints the versions, or fails with the missing import.
const PROBE: &str = "import diffusers, ema_pytorch, numpy, safetensors, scipy, torch, torchvision; \
    from importlib.metadata import version; lucid = version('denoising-diffusion-pytorch'); \
    print(f'PyTorch {torch.__version__}, diffusers {diffusers.__version__}, denoising-diffusion-pytorch {lucid}')";

/// An interpreter with PyTorch.
pub struct Python(PathBuf);

impl Python {
    /// The interpreter `named`, or else that of the workspace's own environment, created if necessary.
    pub fn find(ws: &Workspace, named: Option<PathBuf>) -> Result<Self> {
        let path = named.map_or_else(|| PYTORCH.python(ws), Ok)?;
        let shown = path.display().to_string();
        let python = Python(path);
        let probe = python.command().args(["-c", PROBE]).stderr(Stdio::inherit()).output();
        let probe = probe.with_context(|| format!("cannot run {shown}"))?;
        ensure!(
            probe.status.success(),
            "{shown} lacks one of {} (see its errors above)",
            PYTORCH.packages.join(", ")
        );
        println!("{} in {shown}", String::from_utf8_lossy(&probe.stdout).trim());
        Ok(python)
    }

    /// The command of this interpreter; no arguments yet.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.0);
        command
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("PYTHONUNBUFFERED", "1")
            .env("HF_HUB_OFFLINE", "1");
        command
    }
}
