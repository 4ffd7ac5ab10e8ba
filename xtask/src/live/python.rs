//! Which Python runs the live programs, and how it gets their packages.

use crate::libtorch::layout::remove;
use crate::workspace::{Workspace, run as run_child};
use anyhow::{Context, Result, bail, ensure};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What pip installs. diffusers asks for the rest itself.
const PACKAGES: [&str; 5] = ["torch==2.11.0", "diffusers==0.35.2", "safetensors", "numpy", "scipy"];

/// Says which versions are there, or which import fails.
const PROBE: &str = "import diffusers, numpy, safetensors, scipy, torch; \
    print(f'PyTorch {torch.__version__}, diffusers {diffusers.__version__}')";

/// Too old for torch 2.11 before this.
const NEW_ENOUGH: &str = "import sys; sys.exit(sys.version_info < (3, 10))";

/// An interpreter that has the packages.
pub struct Python {
    path: PathBuf,
    scripts: PathBuf,
}

impl Python {
    /// The one that was named, as it is; else that of an environment of our own, made if need be.
    pub fn find(ws: &Workspace, named: Option<&Path>) -> Result<Self> {
        let path = match named {
            Some(path) => path.to_owned(),
            None => environment(ws)?,
        };
        let python = Python { path, scripts: ws.root().join("crates/inkdrop-parity/live") };
        let probe = python.command().args(["-c", PROBE]).stderr(Stdio::inherit()).output();
        let probe = probe.with_context(|| format!("cannot run {}", python.path.display()))?;
        ensure!(
            probe.status.success(),
            "{} lacks one of {} (its own words are above)",
            python.path.display(),
            PACKAGES.join(", ")
        );
        println!("{} in {}", String::from_utf8_lossy(&probe.stdout).trim(), python.path.display());
        Ok(python)
    }

    /// One of the live programs.
    pub fn script(&self, name: &str) -> Command {
        let mut command = self.command();
        command.arg(self.scripts.join(name));
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

/// The interpreter of the environment in `.libtorch/live-python`.
fn environment(ws: &Workspace) -> Result<PathBuf> {
    let _lock = ws.layout.lock()?;
    let home = ws.layout.base().join("live-python");
    let (python, stamp) = (home.join("bin/python"), home.join("stamp"));
    let wanted = PACKAGES.join("\n") + "\n";
    if python.exists() && fs::read_to_string(&stamp).is_ok_and(|stamp| stamp == wanted) {
        return Ok(python);
    }
    println!("making a Python environment in {} (about 5 GB)", home.display());
    remove(&home)?;
    let made = create(&home).and_then(|()| install(&python, &home));
    if let Err(error) = made {
        remove(&home).ok();
        return Err(error);
    }
    fs::write(&stamp, wanted).context("cannot write the environment's stamp")?;
    Ok(python)
}

/// An empty environment.
fn create(home: &Path) -> Result<()> {
    let status = Command::new("python3").args(["-c", NEW_ENOUGH]).status();
    match status {
        Ok(status) if status.success() => {}
        Ok(_) => bail!("python3 is older than 3.10: name a newer one with `--python PATH`"),
        Err(error) if error.kind() == io::ErrorKind::NotFound => bail!(
            "python3 is not installed: install it (`apt install python3-venv`), \
             or name one that has {} with `--python PATH`",
            PACKAGES.join(", ")
        ),
        Err(error) => return Err(error).context("cannot run python3"),
    }
    let code = run_child(Command::new("python3").args(["-m", "venv"]).arg(home))?;
    ensure!(
        code == 0,
        "python3 cannot make an environment (its own words are above): `apt install python3-venv`"
    );
    Ok(())
}

/// Has pip fetch the packages, with the user's own mirror, proxy and certificates.
fn install(python: &Path, home: &Path) -> Result<()> {
    // pip works in TMPDIR, and the system's own is often small.
    let staging = home.join("tmp");
    fs::create_dir_all(&staging)?;
    let mut pip = Command::new(python);
    pip.args(["-m", "pip", "install", "--only-binary=:all:", "--no-input", "--no-cache-dir"])
        .arg("--disable-pip-version-check")
        .args(PACKAGES)
        .env("TMPDIR", &staging)
        .stdin(Stdio::null());
    let code = run_child(&mut pip)?;
    ensure!(
        code == 0,
        "pip could not install {} (its own words are above);\n\
         check the network, the free disk space, and pip's index and proxy\n\
         (`python3 -m pip config list`), then run the same command again",
        PACKAGES.join(", ")
    );
    Ok(remove(&staging)?)
}
