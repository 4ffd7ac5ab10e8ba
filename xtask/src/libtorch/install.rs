//! Atomic installation of libtorch.
//!
//! A source fills a private folder. The folder gets its links and its stamp, is renamed, and
//! `current` then points to it. An error removes the folder and leaves the previous
//! installation as it was.

use super::expose::expose;
use super::layout::{LibtorchPaths, remove};
use super::stamp::Stamp;
use super::{Device, VERSION};
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};

/// A source of libtorch.
pub trait Source {
    /// `system`, `official` or `wheel`.
    fn name(&self) -> &'static str;

    /// The name in messages.
    fn title(&self) -> &'static str;

    /// Writes libtorch into `into`, or returns the folder of an existing one.
    fn fill(&self, layout: &LibtorchPaths, into: &Path) -> Result<Tree>;
}

/// The libtorch of a source.
pub struct Tree {
    /// The folder with `lib/` and `include/`.
    pub torch: PathBuf,
    /// Version, e.g. `2.11.0+cu130`.
    pub version: String,
    /// The folder, address or wheel.
    pub origin: String,
    /// The device that it is built for.
    pub device: Device,
}

/// Name of the installation folder.
fn home_name(source: &str, device: Device) -> String {
    match source {
        "system" => format!("{VERSION}-system"),
        _ => format!("{VERSION}-{}", device.name()),
    }
}

/// Installs from `source` and makes it current. The caller holds the lock.
pub fn install(layout: &LibtorchPaths, source: &dyn Source) -> Result<Stamp> {
    layout.sweep()?;
    let scratch = layout.scratch("unpack");
    fs::create_dir_all(&scratch).with_context(|| format!("cannot create {}", scratch.display()))?;
    let built = build(layout, source, &scratch);
    if built.is_err() {
        remove(&scratch).ok();
    }
    let (stamp, name) = built?;
    layout.point_current_at(&name)?;
    remove(&layout.downloads()).ok();
    Ok(stamp)
}

fn build(layout: &LibtorchPaths, source: &dyn Source, scratch: &Path) -> Result<(Stamp, String)> {
    let tree = source.fill(layout, scratch)?;
    check_version(&tree.version, "this libtorch")?;
    expose(scratch, &tree.torch, &tree.version)?;
    let stamp = Stamp {
        version: VERSION.to_owned(),
        device: tree.device.name().to_owned(),
        source: source.name().to_owned(),
        origin: tree.origin,
        files: Vec::new(),
    };
    let stamp = stamp.seal(scratch)?;
    let name = home_name(source.name(), tree.device);
    put(layout, scratch, &layout.home(&name))?;
    Ok((stamp, name))
}

/// Renames `scratch` to `home`. An existing installation is removed only after that.
fn put(layout: &LibtorchPaths, scratch: &Path, home: &Path) -> Result<()> {
    let old = layout.scratch("old");
    let replaced = home.exists();
    if replaced {
        fs::rename(home, &old)?;
    }
    if let Err(error) = fs::rename(scratch, home) {
        if replaced {
            fs::rename(&old, home)?;
        }
        return Err(error).with_context(|| format!("cannot put libtorch at {}", home.display()));
    }
    remove(&old).ok();
    Ok(())
}

/// Returns an error unless the release is the one that tch binds. Local suffixes (`+cu130`) are ignored.
pub fn check_version(version: &str, what: &str) -> Result<()> {
    let release = version.trim().split('+').next().unwrap_or_default();
    if release != VERSION {
        bail!("{what} is release {release}, but this workspace needs {VERSION}");
    }
    Ok(())
}
