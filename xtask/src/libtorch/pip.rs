//! Downloads a wheel with pip, using the user's index, proxy and certificates.

use super::layout::remove;
use super::pins::Wheel;
use anyhow::{Context, Result, bail, ensure};
use std::fs;
use std::io::{self, IsTerminal};
use std::path::Path;
use std::process::{Command, Stdio};

/// Returns an error if `python3 -m pip` does not work, with the package to install.
pub fn check() -> Result<()> {
    let status = Command::new("python3")
        .args(["-m", "pip", "--version"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => bail!("python3 has no pip: install it (`apt install python3-pip`)"),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            bail!("python3 is not installed: install it (`apt install python3-pip`)")
        }
        Err(error) => Err(error).context("cannot run python3"),
    }
}

/// Downloads `wheel` to `folder` with pip.
///
/// pip cannot resume a wheel. Complete wheels are kept, so a second run starts with the
/// first missing one.
pub fn download(wheel: &Wheel, folder: &Path) -> Result<()> {
    // pip writes to TMPDIR, and the system's own is often small. Incomplete files stay there, so they
    // are never mistaken for a wheel.
    let staging = folder.join(".pip");
    remove(&staging)?;
    fs::create_dir_all(&staging)?;
    let done = stage(wheel, &staging, folder);
    remove(&staging).ok();
    done
}

fn stage(wheel: &Wheel, staging: &Path, folder: &Path) -> Result<()> {
    let status = command(wheel, staging).status();
    ensure!(
        status.context("cannot run python3")?.success(),
        "pip could not download {} (see its errors above);\n\
         check the network, the free disk space, and pip's index and proxy\n\
         (`python3 -m pip config list`), then run the same command again",
        wheel.requirement()
    );
    let whole = staging.join(wheel.file);
    ensure!(
        whole.exists(),
        "pip downloaded another file than {}: does pip's configuration name an extra index?",
        wheel.file
    );
    Ok(fs::rename(whole, folder.join(wheel.file))?)
}

fn command(wheel: &Wheel, staging: &Path) -> Command {
    let mut command = Command::new("python3");
    command
        .args(["-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-input"])
        // pip's cache would be a second copy of every wheel.
        .args(["--no-cache-dir", "--disable-pip-version-check", "--implementation", "cp"])
        .args(["--python-version", "311", "--platform", wheel.platform(), "--dest"])
        .arg(staging)
        .arg(wheel.requirement())
        .env("PIP_REQUIRE_VIRTUALENV", "0")
        .env("TMPDIR", staging)
        .stdin(Stdio::null())
        .stdout(Stdio::from(io::stderr()));
    if !io::stderr().is_terminal() {
        command.arg("--quiet");
    }
    command
}
