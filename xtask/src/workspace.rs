//! Where the workspace is, and how its tasks start other programs.

use crate::libtorch::Request;
use crate::libtorch::ensure::ensure;
use crate::libtorch::layout::Layout;
use crate::libtorch::stamp::Stamp;
use crate::libtorch::system;
use anyhow::{Context, Result};
use std::env;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

/// Variables that `cargo run` sets for xtask and that a child must not take for its own.
const CARGO_OWN: [&str; 5] =
    ["CARGO_PKG_", "CARGO_BIN_", "CARGO_CRATE_", "CARGO_MANIFEST_", "CARGO_PRIMARY_"];

/// The workspace that `cargo xtask` was called in.
pub struct Workspace {
    /// Its libtorch.
    pub layout: Layout,
    /// Where cargo puts release binaries.
    pub bin_dir: PathBuf,
}

impl Workspace {
    /// The workspace of this very binary.
    pub fn find() -> Result<Self> {
        let manifest = env::var_os("CARGO_MANIFEST_DIR");
        let manifest = manifest.unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
        let root = Path::new(&manifest).parent().context("xtask is not in a workspace")?;
        // xtask is itself built into the folder in which inkdrop ends up, whatever
        // CARGO_TARGET_DIR and the configuration say.
        let me = env::current_exe().context("cannot find xtask's own binary")?;
        let bin_dir = me.parent().context("xtask's binary has no folder")?.to_owned();
        Ok(Workspace { layout: Layout::new(root), bin_dir })
    }

    /// The folder of the workspace.
    pub fn root(&self) -> &Path {
        let base = self.layout.base();
        base.parent().unwrap_or(base)
    }

    /// The LIBTORCH that the user exported, checked.
    pub fn exported_libtorch(&self) -> Result<Option<PathBuf>> {
        let value = env::var_os("LIBTORCH").map(PathBuf::from);
        system::exported(value.as_deref(), &self.layout.current())
    }

    /// Makes sure of some libtorch of the right release before anything is built.
    pub fn need_libtorch(&self) -> Result<Stamp> {
        let exported = self.exported_libtorch()?;
        let request = Request { exported, ..Request::default() };
        self.get_libtorch(&request)
    }

    /// Makes sure of the libtorch that `request` describes.
    pub fn get_libtorch(&self, request: &Request) -> Result<Stamp> {
        if request.exported.is_none() {
            system::check_platform()?;
        }
        ensure(&self.layout, request)
    }

    /// A cargo that sees the environment as if it had been called directly.
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
        // Binaries carry a relative path to libtorch; doc tests, and a target folder
        // elsewhere, need this one.
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

/// Runs to the end; the exit status as a shell would report it.
pub fn run(command: &mut Command) -> Result<u8> {
    let status = command
        .status()
        .with_context(|| format!("cannot run {}", Path::new(command.get_program()).display()))?;
    Ok(code(status))
}

/// 128 + signal for a child that a signal ended.
pub fn code(status: ExitStatus) -> u8 {
    #[cfg(unix)]
    if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
        return u8::try_from(128 + signal).unwrap_or(u8::MAX);
    }
    status.code().and_then(|code| u8::try_from(code & 0xff).ok()).unwrap_or(1)
}

/// Becomes the command, so that signals and the exit status need no relay.
#[cfg(unix)]
pub fn become_command(command: &mut Command) -> Result<u8> {
    let error = std::os::unix::process::CommandExt::exec(command);
    let program = Path::new(command.get_program()).display().to_string();
    Err(error).with_context(|| format!("cannot run {program}"))
}

/// Runs the command and reports its status.
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
