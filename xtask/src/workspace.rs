//! The workspace's folders, and the commands that tasks run.

use crate::libtorch::layout::LibtorchPaths;
use crate::libtorch::platform::Platform;
use crate::libtorch::stamp::Stamp;
use crate::libtorch::{Request, ensure, system};
use anyhow::{Context, Result};
use std::env;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

/// Prefixes of variables that `cargo run` sets for xtask and that child processes must not inherit.
const CARGO_OWN: [&str; 5] =
    ["CARGO_PKG_", "CARGO_BIN_", "CARGO_CRATE_", "CARGO_MANIFEST_", "CARGO_PRIMARY_"];

/// The workspace of `cargo xtask`.
pub struct Workspace {
    /// Paths of libtorch.
    pub layout: LibtorchPaths,
    /// Folder of the release binaries.
    pub bin_dir: PathBuf,
}

impl Workspace {
    /// The workspace of this binary.
    pub fn find() -> Result<Self> {
        let manifest = env::var_os("CARGO_MANIFEST_DIR");
        let manifest = manifest.unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
        let root = Path::new(&manifest).parent().context("xtask is not in a workspace")?;
        // xtask is built into the same folder as inkdrop, whatever CARGO_TARGET_DIR and the
        // configuration are.
        let me = env::current_exe().context("cannot find xtask's own binary")?;
        let bin_dir = me.parent().context("xtask's binary has no folder")?.to_owned();
        Ok(Workspace { layout: LibtorchPaths::new(root), bin_dir })
    }

    /// The folder of the workspace.
    pub fn root(&self) -> &Path {
        let base = self.layout.base();
        base.parent().unwrap_or(base)
    }

    /// The user's LIBTORCH, after a check of its release.
    pub fn exported_libtorch(&self) -> Result<Option<PathBuf>> {
        let value = env::var_os("LIBTORCH").map(PathBuf::from);
        system::exported(value.as_deref(), &self.layout.current())
    }

    /// Makes sure that a libtorch of the right release is installed.
    pub fn need_libtorch(&self) -> Result<Stamp> {
        let exported = self.exported_libtorch()?;
        let request = Request { exported, ..Request::default() };
        self.get_libtorch(&request)
    }

    /// Makes sure that the requested libtorch is installed.
    pub fn get_libtorch(&self, request: &Request) -> Result<Stamp> {
        if request.exported.is_none() {
            Platform::here()?;
        }
        ensure(&self.layout, request)
    }

    /// A cargo command with the environment that a direct call would have.
    pub fn cargo(&self) -> Command {
        let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        self.clean(&mut command);
        command
    }

    /// A binary of this workspace.
    pub fn binary(&self, name: &str) -> Command {
        let name = format!("{name}{}", env::consts::EXE_SUFFIX);
        let mut command = Command::new(self.bin_dir.join(name));
        self.clean(&mut command);
        command
    }

    fn clean(&self, command: &mut Command) {
        for (name, _) in env::vars_os() {
            let text = name.to_string_lossy();
            if CARGO_OWN.iter().any(|own| text.starts_with(own)) {
                command.env_remove(&name);
            }
        }
        let current = self.layout.current();
        if env::var_os("LIBTORCH").is_some_and(|own| system::is_ours(Path::new(&own), &current)) {
            command.env_remove("LIBTORCH");
        }
        // Binaries have a relative run path to libtorch. Doc tests, and target folders elsewhere, need
        // this variable.
        let inherited = env::var_os("LD_LIBRARY_PATH");
        command.env("LD_LIBRARY_PATH", library_path(&current, inherited.as_deref()));
    }
}

fn library_path(current: &Path, inherited: Option<&OsStr>) -> OsString {
    let mut path = current.join("lib").into_os_string();
    if let Some(inherited) = inherited.filter(|value| !value.is_empty()) {
        path.push(":");
        path.push(inherited);
    }
    path
}

/// Runs a command and returns its exit status as a shell would.
pub fn run(command: &mut Command) -> Result<u8> {
    let status = command
        .status()
        .with_context(|| format!("cannot run {}", Path::new(command.get_program()).display()))?;
    Ok(code(status))
}

/// The exit status; 128 + signal if a signal ended the process.
pub fn code(status: ExitStatus) -> u8 {
    #[cfg(unix)]
    if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
        return u8::try_from(128 + signal).unwrap_or(u8::MAX);
    }
    status.code().and_then(|code| u8::try_from(code & 0xff).ok()).unwrap_or(1)
}

/// Replaces this process by the command, so that signals and the exit status are its own.
#[cfg(unix)]
pub fn become_command(command: &mut Command) -> Result<u8> {
    let error = std::os::unix::process::CommandExt::exec(command);
    let program = Path::new(command.get_program()).display().to_string();
    Err(error).with_context(|| format!("cannot run {program}"))
}

/// Runs the command and returns its exit status.
#[cfg(not(unix))]
pub fn become_command(command: &mut Command) -> Result<u8> {
    run(command)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_childs_status_is_reported_as_a_shell_would() {
        for (script, expected) in [("exit 0", 0), ("exit 7", 7), ("kill -TERM $$", 128 + 15)] {
            assert_eq!(run(Command::new("sh").args(["-c", script])).unwrap(), expected);
        }
    }

    #[test]
    fn a_missing_program_is_named() {
        let text = run(&mut Command::new("/no/such/program")).unwrap_err().to_string();
        assert!(text.contains("/no/such/program"), "{text}");
    }

    #[test]
    fn the_library_path_starts_with_libtorch() {
        let path =
            |inherited: &str| library_path(Path::new("/w/current"), Some(inherited.as_ref()));
        assert_eq!(path("/a:/b"), "/w/current/lib:/a:/b");
        assert_eq!(path(""), "/w/current/lib");
    }
}
