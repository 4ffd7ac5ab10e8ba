//! Tests of the installation, with a fake libtorch of a few bytes.

mod install;
mod wheel;

use super::install::{Source, Tree};
use super::layout::LibtorchPaths;
use super::{Device, Request};
use crate::testing::TORCH;
use anyhow::{Result, bail};
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Writes the files of [`TORCH`], then fails if `fails` is set.
struct Fake<'a> {
    runs: &'a AtomicUsize,
    fails: bool,
    device: Device,
}

impl Source for Fake<'_> {
    fn name(&self) -> &'static str {
        "wheel"
    }

    fn title(&self) -> &'static str {
        "a fake"
    }

    fn fill(&self, _: &LibtorchPaths, into: &Path) -> Result<Tree> {
        self.runs.fetch_add(1, Ordering::SeqCst);
        for (name, text) in TORCH {
            let path = into.join(name);
            fs::create_dir_all(path.parent().expect("a folder"))?;
            fs::write(path, text)?;
        }
        if self.device == Device::Cuda {
            fs::write(into.join("torch/lib/libtorch_cuda.so"), "cuda")?;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
        if self.fails {
            bail!("the cable was cut");
        }
        let (torch, version) = (into.join("torch"), "2.11.0+cpu".into());
        Ok(Tree { torch, version, origin: "fake".into(), device: self.device })
    }
}

static RUNS: AtomicUsize = AtomicUsize::new(0);

fn fake(fails: bool, device: Device) -> Box<dyn Source> {
    Box::new(Fake { runs: &RUNS, fails, device })
}

fn workspace() -> (tempfile::TempDir, LibtorchPaths) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let layout = LibtorchPaths::new(dir.path());
    (dir, layout)
}

fn good(request: &Request) -> Vec<Box<dyn Source>> {
    vec![fake(false, request.device.unwrap_or(Device::Cpu))]
}

fn none(_: &Request) -> Vec<Box<dyn Source>> {
    panic!("a complete installation needs no source")
}

/// The names in `.libtorch`, sorted.
fn names(layout: &LibtorchPaths) -> Vec<String> {
    let entries = fs::read_dir(layout.base()).expect("the folder");
    let mut names: Vec<_> =
        entries.map(|e| e.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}
