//! How pip is asked for one wheel, with the user's own mirror, proxy and certificates.

use super::pins::Wheel;
use anyhow::{Context, Result, bail, ensure};
use std::fs;
use std::io::{self, IsTerminal};
use std::path::Path;
use std::process::{Command, Stdio};

/// Refuses where `python3 -m pip` cannot work, and says what to install.
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

/// Has pip put `wheel` into `folder`.
///
/// pip starts a wheel afresh when it breaks off; wheels that are complete are kept, so a
/// second run goes on with the first one that is missing.
pub fn download(wheel: &Wheel, folder: &Path) -> Result<()> {
    // pip stages in TMPDIR, and /tmp is often small.
    let staging = folder.join(".pip");
    fs::create_dir_all(&staging)?;
    let mut command = command(wheel, folder);
    command.env("TMPDIR", &staging);
    let status = command.status().context("cannot run python3");
    fs::remove_dir_all(&staging).ok();
    ensure!(
        status?.success(),
        "pip could not download {} (its own words are above):\n\
         check the network and the free disk space, and pip's index and proxy (`python3 -m pip config list`)",
        wheel.requirement()
    );
    ensure!(
        folder.join(wheel.file).exists(),
        "pip downloaded another file than {}: does pip's configuration name an extra index?",
        wheel.file
    );
    Ok(())
}

fn command(wheel: &Wheel, folder: &Path) -> Command {
    let mut command = Command::new("python3");
    command
        .args([
            "-m",
            "pip",
            "download",
            "--no-deps",
            "--only-binary=:all:",
            "--no-input",
        ])
        .args(["--disable-pip-version-check", "--implementation", "cp"])
        .args([
            "--python-version",
            "311",
            "--platform",
            wheel.platform(),
            "--dest",
        ])
        .arg(folder)
        .arg(wheel.requirement())
        .env("PIP_REQUIRE_VIRTUALENV", "0")
        .stdin(Stdio::null())
        .stdout(Stdio::from(io::stderr()));
    if !io::stderr().is_terminal() {
        command.arg("--quiet");
    }
    command
}
