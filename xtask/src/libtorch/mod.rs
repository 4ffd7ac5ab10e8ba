//! Which libtorch does the workspace need, and which one was asked for.

pub mod ensure;
pub mod expose;
pub mod fetch;
pub mod install;
pub mod layout;
pub mod official;
pub mod pins;
pub mod pip;
pub mod progress;
pub mod space;
pub mod stamp;
pub mod system;
#[cfg(test)]
mod tests;
pub mod unpack;
pub mod wheel;

use std::path::PathBuf;

/// The one release that tch 0.24 binds.
pub const VERSION: &str = "2.11.0";

/// What the installed libtorch can compute on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Device {
    /// The CPU only: about 500 MB on disk.
    Cpu,
    /// NVIDIA GPUs too: about 3.6 GB on disk.
    Cuda,
}

impl Device {
    /// The name in folders and stamps.
    pub fn name(self) -> &'static str {
        match self {
            Device::Cpu => "cpu",
            Device::Cuda => "cuda",
        }
    }

    /// Room taken at the worst moment: archives and unpacked tree together.
    pub fn room(self) -> u64 {
        match self {
            Device::Cpu => 1_100_000_000,
            Device::Cuda => 7_000_000_000,
        }
    }
}

/// Where libtorch may come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
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

impl Choice {
    /// The name in messages and stamps.
    pub fn name(self) -> &'static str {
        match self {
            Choice::Auto => "auto",
            Choice::System => "system",
            Choice::Official => "official",
            Choice::Wheel => "wheel",
        }
    }
}

/// What was asked for on the command line and by the environment.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// `--source`.
    pub source: Choice,
    /// `--device`; none means "whatever is there, else the CPU".
    pub device: Option<Device>,
    /// A LIBTORCH that the user exported, already known to be of the right release.
    pub exported: Option<PathBuf>,
}

impl Request {
    /// Whether an install made as `stamp` says answers this request.
    pub fn accepts(&self, stamp: &stamp::Stamp) -> bool {
        let source = match self.source {
            Choice::Auto => true,
            asked => stamp.source == asked.name(),
        };
        let device = match self.device {
            None => true,
            // A system install serves the CPU whatever else it can do.
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
