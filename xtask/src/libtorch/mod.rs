//! Installs the libtorch that the workspace needs: release, device and source.

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

/// The device that libtorch is built for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Device {
    /// The CPU only: about 500 MB on disk.
    Cpu,
    /// NVIDIA GPUs too: about 3.6 GB on disk.
    Cuda,
}

impl Device {
    /// The name in folder names and stamps.
    pub fn name(self) -> &'static str {
        match self {
            Device::Cpu => "cpu",
            Device::Cuda => "cuda",
        }
    }

    /// Disk space needed during installation, in bytes: archives and unpacked files together.
    pub fn room(self) -> u64 {
        match self {
            Device::Cpu => 1_100_000_000,
            Device::Cuda => 7_000_000_000,
        }
    }
}

/// Source of libtorch.
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
    pub fn accepts(&self, stamp: &stamp::Stamp) -> bool {
        let source = match self.source {
            Choice::Auto => true,
            requested => stamp.source == requested.name(),
        };
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
