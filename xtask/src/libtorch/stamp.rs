//! Install stamp: a record of an installation that detects damage.
//!
//! The stamp is the last file of an installation. A folder without it is not installed.

use super::Device;
use anyhow::{Context, Result};
use std::fs;
use std::path::Path;

const NAME: &str = "install-stamp";

/// The record of an installation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stamp {
    /// Release, without local suffix.
    pub version: String,
    /// `cpu` or `cuda`.
    pub device: String,
    /// `system`, `official` or `wheel`.
    pub source: String,
    /// The folder, address or wheel.
    pub origin: String,
    /// Size in bytes and relative path of every file that builds and binaries need.
    pub files: Vec<(u64, String)>,
}

impl Stamp {
    /// Lists the files of `home` in the stamp and writes it.
    pub fn seal(mut self, home: &Path) -> Result<Stamp> {
        for part in ["lib", "include", "cuda/libtorch_cuda.so", "build-version"] {
            if home.join(part).exists() {
                list(home, part, &mut self.files)?;
            }
        }
        let text = self.to_text();
        fs::write(home.join(NAME), text).context("cannot write the install stamp")?;
        Ok(self)
    }

    /// Reads the stamp of `home`; `None` if it is missing or damaged.
    pub fn read(home: &Path) -> Option<Stamp> {
        Stamp::parse(&fs::read_to_string(home.join(NAME)).ok()?)
    }

    /// The first missing or changed file of `home`.
    pub fn damage(&self, home: &Path) -> Option<String> {
        self.files.iter().find_map(|(size, name)| {
            match fs::metadata(home.join(name)).map(|meta| meta.len()) {
                Ok(bytes) if bytes == *size => None,
                Ok(bytes) => Some(format!("{name} has {bytes} bytes instead of {size}")),
                Err(_) => Some(format!("{name} is missing")),
            }
        })
    }

    /// A description such as `libtorch 2.11.0 (cpu, from the PyPI wheel)`.
    pub fn describe(&self) -> String {
        let source = match self.source.as_str() {
            "wheel" => "from the PyPI wheel",
            "official" => "from download.pytorch.org",
            _ => "of this system",
        };
        format!("libtorch {} ({}, {source})", self.version, self.device)
    }

    /// The device to request when this installation is repaired.
    pub fn reinstalls_as(&self) -> Option<Device> {
        (self.device == "cuda" && self.source != "system").then_some(Device::Cuda)
    }

    fn to_text(&self) -> String {
        let Stamp { version, device, source, origin, files } = self;
        let mut text =
            format!("version {version}\ndevice {device}\nsource {source}\norigin {origin}\n");
        for (size, name) in files {
            text += &format!("{size} {name}\n");
        }
        text + "end\n"
    }

    fn parse(text: &str) -> Option<Stamp> {
        let mut stamp = Stamp::default();
        for line in text.strip_suffix("end\n")?.lines() {
            let (key, value) = line.split_once(' ')?;
            match key {
                "version" => stamp.version = value.to_owned(),
                "device" => stamp.device = value.to_owned(),
                "source" => stamp.source = value.to_owned(),
                "origin" => stamp.origin = value.to_owned(),
                size => stamp.files.push((size.parse().ok()?, value.to_owned())),
            }
        }
        Some(stamp)
    }
}

/// Appends every file at or below `home/name`; follows links.
fn list(home: &Path, name: &str, files: &mut Vec<(u64, String)>) -> Result<()> {
    let path = home.join(name);
    let meta = fs::metadata(&path).with_context(|| format!("cannot read {}", path.display()))?;
    if !meta.is_dir() {
        files.push((meta.len(), name.to_owned()));
        return Ok(());
    }
    let mut names = fs::read_dir(&path)?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<Result<Vec<_>>>()?;
    names.sort();
    names.iter().try_for_each(|child| list(home, &format!("{name}/{child}"), files))
}
