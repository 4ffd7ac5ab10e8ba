//! libtorch from the zip archive of the PyTorch project.
//!
//! The hash of the archive is not pinned. It is protected by TLS and checked by its length,
//! the checksum of every entry, the list of files and the version inside.

use super::fetch::{agent, fetch};
use super::install::{Source, Tree};
use super::layout::{LibtorchPaths, remove};
use super::space::{self, is_full_disk};
use super::unpack::unpack;
use super::{Device, VERSION};
use anyhow::{Context, Result};
use std::fs;
use std::path::Path;

/// The archive for a device.
pub struct Official {
    /// The device that it is built for.
    pub device: Device,
}

impl Official {
    fn url(&self) -> String {
        let kind = match self.device {
            Device::Cpu => "cpu",
            Device::Cuda => "cu130",
        };
        format!(
            "https://download.pytorch.org/libtorch/{kind}/\
             libtorch-shared-with-deps-{VERSION}%2B{kind}.zip"
        )
    }
}

impl Source for Official {
    fn name(&self) -> &'static str {
        "official"
    }

    fn title(&self) -> &'static str {
        "download.pytorch.org"
    }

    fn fill(&self, layout: &LibtorchPaths, into: &Path) -> Result<Tree> {
        space::check(layout, self.device)?;
        let archive = layout.downloads().join(format!("libtorch-{}.zip", self.device.name()));
        if !archive.exists() {
            fetch(&agent(true), &self.url(), &archive)?;
        }
        read(&archive, into, self.device, self.url()).inspect_err(|error| {
            // Without a pinned hash the damaged part is unknown: the next run downloads the whole file.
            if !is_full_disk(error) {
                remove(&archive).ok();
            }
        })
    }
}

fn read(archive: &Path, into: &Path, device: Device, origin: String) -> Result<Tree> {
    unpack(archive, into, &place)?;
    let torch = into.join("torch");
    let version = fs::read_to_string(torch.join("build-version"))
        .context("the zip has no libtorch/build-version")?;
    Ok(Tree { torch, version: version.trim().to_owned(), origin, device })
}

/// Selects shared libraries, headers and the version; not the static libraries.
fn place(name: &str) -> Option<String> {
    let inner = name.strip_prefix("libtorch/")?;
    let library = inner.starts_with("lib/") && inner.contains(".so");
    let kept = library || inner.starts_with("include/") || inner == "build-version";
    kept.then(|| format!("torch/{inner}"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::libtorch::install::install;
    use crate::testing::{official_zip, zip_with};

    #[test]
    fn a_downloaded_zip_is_installed_without_network() {
        let dir = tempfile::tempdir().unwrap();
        let layout = LibtorchPaths::new(dir.path());
        fs::create_dir_all(layout.downloads()).unwrap();
        official_zip(&layout.downloads().join("libtorch-cpu.zip"), "2.11.0+cpu");
        install(&layout, &Official { device: Device::Cpu }).unwrap();
        assert!(layout.current().join("lib/libtorch_cpu.so").is_file());
        assert!(!layout.current().join("torch/lib/libbig.a").exists());
    }

    #[test]
    fn a_bad_zip_is_deleted_and_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let layout = LibtorchPaths::new(dir.path());
        let archive = layout.downloads().join("libtorch-cpu.zip");
        fs::create_dir_all(layout.downloads()).unwrap();
        zip_with(&archive, &[("libtorch/lib/libc10.so", "x")]);
        assert!(install(&layout, &Official { device: Device::Cpu }).is_err());
        assert!(!archive.exists() && !layout.current().exists());
    }

    #[test]
    fn a_zip_of_another_release_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let layout = LibtorchPaths::new(dir.path());
        fs::create_dir_all(layout.downloads()).unwrap();
        official_zip(&layout.downloads().join("libtorch-cpu.zip"), "2.10.0+cpu");
        let error = install(&layout, &Official { device: Device::Cpu }).unwrap_err();
        assert!(error.to_string().contains("is release 2.10.0"), "{error}");
        assert!(!layout.current().exists());
    }
}
