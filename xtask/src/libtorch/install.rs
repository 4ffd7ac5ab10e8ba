//! How an install comes to be, so that a build sees all of it or nothing.
//!
//! A source fills a private folder; the folder is completed, sealed with a stamp, renamed
//! into its place, and only then does `current` point to it. Any error on the way removes
//! the folder and leaves what was installed before.

use super::expose::expose;
use super::layout::{Layout, remove};
use super::stamp::Stamp;
use super::{Device, VERSION};
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};

/// Somewhere that libtorch can come from.
pub trait Source {
    /// `system`, `official` or `wheel`.
    fn name(&self) -> &'static str;

    /// What it is, for people.
    fn title(&self) -> &'static str;

    /// Puts libtorch below `into`, or says where it already is.
    fn fill(&self, layout: &Layout, into: &Path) -> Result<Tree>;
}

/// A libtorch as a source delivers it.
pub struct Tree {
    /// The folder with `lib/` and `include/`.
    pub torch: PathBuf,
    /// For `build-version`, e.g. `2.11.0+cu130`.
    pub version: String,
    /// Which folder, address or wheel exactly.
    pub origin: String,
    /// What it can compute on.
    pub device: Device,
}

/// The folder's name for what `source` delivers.
fn home_name(source: &str, device: Device) -> String {
    match source {
        "system" => format!("{VERSION}-system"),
        _ => format!("{VERSION}-{}", device.name()),
    }
}

/// Installs from `source` and makes it current. Call it under the lock.
pub fn install(layout: &Layout, source: &dyn Source) -> Result<Stamp> {
    layout.sweep()?;
    let scratch = layout.scratch("unpack");
    fs::create_dir_all(&scratch).with_context(|| format!("cannot make {}", scratch.display()))?;
    let made = build(layout, source, &scratch);
    if made.is_err() {
        remove(&scratch).ok();
    }
    let (stamp, name) = made?;
    layout.point_current_at(&name)?;
    remove(&layout.downloads()).ok();
    Ok(stamp)
}

fn build(layout: &Layout, source: &dyn Source, scratch: &Path) -> Result<(Stamp, String)> {
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

/// Renames `scratch` to `home`; what was there goes, but only once the new one stands.
fn put(layout: &Layout, scratch: &Path, home: &Path) -> Result<()> {
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

/// Refuses a release that tch does not bind; a local suffix (`+cu130`) does not matter.
pub fn check_version(found: &str, what: &str) -> Result<()> {
    let release = found.trim().split('+').next().unwrap_or_default();
    if release != VERSION {
        bail!("{what} is release {release}, but this workspace needs {VERSION}");
    }
    Ok(())
}
