//! Python virtual environments in `.libtorch`, created once and filled by pip.

use crate::libtorch::layout::remove;
use crate::workspace::{Workspace, run as run_child};
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
        let home = ws.layout.base().join(self.name);
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
        let status = Command::new("python3").args(["-c", NEW_ENOUGH]).status();
        match status {
            Ok(status) if status.success() => {}
            Ok(_) => bail!("python3 is older than 3.10: select a newer one with `--python PATH`"),
            Err(error) if error.kind() == io::ErrorKind::NotFound => bail!(
                "python3 is not installed: install it (`apt install python3-venv`), \
             or select an interpreter that has {} with `--python PATH`",
                self.packages.join(", ")
            ),
            Err(error) => return Err(error).context("cannot run python3"),
        }
        let code = run_child(Command::new("python3").args(["-m", "venv"]).arg(home))?;
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
        let code = run_child(&mut pip)?;
        ensure!(
            code == 0,
            "pip could not install {} (see its errors above);\n\
         check the network, the free disk space, and pip's index and proxy\n\
         (`python3 -m pip config list`), then run the same command again",
            self.packages.join(", ")
        );
        Ok(remove(&staging)?)
    }
}
