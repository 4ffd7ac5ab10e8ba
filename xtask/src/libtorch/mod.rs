//! Installs the libtorch that the workspace needs, from the first source that works.
//!
//! A source fills a private folder. The folder gets its links and its stamp, is renamed, and
//! `current` then points to it. An error removes the folder and leaves the previous
//! installation as it was.

pub mod download;
mod expose;
pub mod layout;
pub mod platform;
pub mod stamp;
pub mod system;
#[cfg(test)]
mod tests;

use anyhow::{Context, Result, anyhow, bail};
use clap::ValueEnum;
use layout::{LibtorchPaths, remove};
use stamp::Stamp;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The one release that tch 0.24 binds.
pub const VERSION: &str = "2.11.0";

/// The device that libtorch is built for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Device {
    /// The CPU only: about 500 MB on disk.
    Cpu,
    /// NVIDIA GPUs too: about 3.6 GB on disk.
    Cuda,
}

/// Source of libtorch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Choice {
    /// The first of the three below that works.
    #[default]
    Auto,
    /// LIBTORCH, or a python3 that has torch 2.11.0.
    System,
    /// The zip from download.pytorch.org.
    Official,
    /// The wheels from PyPI, fetched by `python3 -m pip`.
    Wheel,
}

/// The name of a device or a source, on the command line, in messages and in stamps.
pub fn name_of(value: impl ValueEnum) -> String {
    value.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
}

/// The requested libtorch, from the command line and the environment.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// `--source`.
    pub source: Choice,
    /// `--device`. `None` takes the installed one, or the CPU if there is none.
    pub device: Option<Device>,
    /// The user's exported LIBTORCH, if its release has been checked.
    pub exported: Option<PathBuf>,
}

impl Request {
    /// True if the installation with this stamp satisfies the request.
    pub fn accepts(&self, stamp: &Stamp) -> bool {
        let source = self.source == Choice::Auto || stamp.source == name_of(self.source);
        let device = match self.device {
            None => true,
            // A system installation always supports the CPU.
            Some(Device::Cpu) => stamp.device == "cpu" || stamp.source == "system",
            Some(Device::Cuda) => stamp.device == "cuda",
        };
        let exported = match &self.exported {
            Some(path) if self.source != Choice::Official && self.source != Choice::Wheel => {
                stamp.origin == path.display().to_string()
            }
            _ => true,
        };
        source && device && exported && stamp.version == VERSION
    }
}

/// A source of libtorch.
pub struct Source {
    /// What it is; never [`Choice::Auto`].
    pub choice: Choice,
    /// Writes libtorch into a folder, or returns the folder of an existing one.
    pub fill: Fill,
}

/// Fills the second path.
type Fill = Box<dyn Fn(&LibtorchPaths, &Path) -> Result<Tree>>;

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

impl Source {
    fn title(&self) -> &'static str {
        match self.choice {
            Choice::Auto | Choice::System => "this system",
            Choice::Official => "download.pytorch.org",
            Choice::Wheel => "the PyPI wheel",
        }
    }
}

/// State of the installation for a request.
pub enum State {
    /// A complete installation, and the name of its folder.
    Ready(Stamp, String),
    /// A damaged installation: its folder, and what is wrong.
    Damaged(Stamp, String, String),
    /// No suitable installation.
    Absent,
}

/// Finds the best installation: the current one first, then the others.
pub fn look(layout: &LibtorchPaths, request: &Request) -> State {
    let others = ["cpu", "cuda", "system"].map(|kind| format!("{VERSION}-{kind}"));
    let mut worst = State::Absent;
    for name in layout.current_name().into_iter().chain(others) {
        let home = layout.home(&name);
        let Some(stamp) = Stamp::read(&home).filter(|stamp| request.accepts(stamp)) else {
            continue;
        };
        match stamp.damage(&home) {
            None => return State::Ready(stamp, name),
            Some(why) if matches!(worst, State::Absent) => {
                worst = State::Damaged(stamp, name, why);
            }
            Some(_) => {}
        }
    }
    worst
}

/// Makes the requested libtorch the current one, and installs it if necessary.
pub fn ensure(layout: &LibtorchPaths, request: &Request) -> Result<Stamp> {
    ensure_from(layout, request, &sources)
}

/// [`ensure`], with the sources as an argument.
fn ensure_from(
    layout: &LibtorchPaths,
    request: &Request,
    sources: &dyn Fn(&Request) -> Vec<Source>,
) -> Result<Stamp> {
    if let State::Ready(stamp, name) = look(layout, request)
        && layout.current_name() == Some(name)
    {
        return Ok(stamp);
    }
    let _lock = layout.lock()?;
    let device = match look(layout, request) {
        State::Ready(stamp, name) => {
            layout.point_current_at(&name)?;
            return Ok(stamp);
        }
        State::Damaged(stamp, name, why) => {
            eprintln!("libtorch in .libtorch/{name} is damaged: {why}; installing it again");
            request.device.or(stamp.reinstalls_as())
        }
        State::Absent => request.device,
    };
    let request = Request { device, ..request.clone() };
    let result = first_that_works(layout, &sources(&request));
    result.map_err(|error| explain_full_disk(error, device.unwrap_or(Device::Cpu)))
}

/// The sources for a request, in the order in which they are tried.
fn sources(request: &Request) -> Vec<Source> {
    let device = request.device.unwrap_or(Device::Cpu);
    let system = system::source(request.exported.clone(), request.device);
    match request.source {
        Choice::System => vec![system],
        Choice::Official => vec![download::official(device)],
        Choice::Wheel => vec![download::wheel(device)],
        Choice::Auto if request.exported.is_some() => vec![system],
        Choice::Auto => vec![system, download::official(device), download::wheel(device)],
    }
}

fn first_that_works(layout: &LibtorchPaths, sources: &[Source]) -> Result<Stamp> {
    let mut failures = Vec::new();
    for (i, source) in sources.iter().enumerate() {
        let error = match install(layout, source) {
            Ok(stamp) => return Ok(stamp),
            Err(error) => error,
        };
        let context = || format!("cannot get libtorch {VERSION} from {}", source.title());
        if is_full_disk(&error) || sources.len() == 1 {
            return Err(error).with_context(context);
        }
        let name = name_of(source.choice);
        if let Some(next) = sources.get(i + 1) {
            eprintln!("{name}: {error:#}; trying {}", next.title());
        }
        failures.push(format!("  {name}: {error:#}"));
    }
    bail!("libtorch {VERSION} could not be installed from any source:\n{}", failures.join("\n"))
}

/// Installs from `source` and makes it current. The caller holds the lock.
fn install(layout: &LibtorchPaths, source: &Source) -> Result<Stamp> {
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

/// Fills `scratch` and renames it. Returns the stamp and the name of the installation.
fn build(layout: &LibtorchPaths, source: &Source, scratch: &Path) -> Result<(Stamp, String)> {
    let tree = (source.fill)(layout, scratch)?;
    check_version(&tree.version, "this libtorch")?;
    expose::expose(scratch, &tree.torch, &tree.version)?;
    let stamp = Stamp {
        version: VERSION.to_owned(),
        device: name_of(tree.device),
        source: name_of(source.choice),
        origin: tree.origin,
        files: Vec::new(),
    };
    let stamp = stamp.seal(scratch)?;
    let kind = if source.choice == Choice::System { &stamp.source } else { &stamp.device };
    let name = format!("{VERSION}-{kind}");
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

/// True if the error is a full disk or an exceeded quota.
fn is_full_disk(error: &anyhow::Error) -> bool {
    error.chain().filter_map(|cause| cause.downcast_ref::<io::Error>()).any(|cause| {
        matches!(cause.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
    })
}

fn explain_full_disk(error: anyhow::Error, device: Device) -> anyhow::Error {
    if !is_full_disk(&error) {
        return error;
    }
    // Archives and unpacked files together.
    let room = match device {
        Device::Cpu => "1.1",
        Device::Cuda => "7.0",
    };
    anyhow!(
        "{error:#};\n\
         the disk is full: libtorch for {} needs about {room} GB during installation.\n\
         Incomplete files were removed, complete downloads are kept: free some space and run\n\
         the same command again",
        name_of(device)
    )
}
