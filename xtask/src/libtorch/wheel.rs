//! libtorch from the PyPI wheels of torch and of the NVIDIA libraries that it is linked to.

use super::Device;
use super::install::{Source, Tree};
use super::layout::LibtorchPaths;
use super::pins::{Wheel, wheels};
use super::pip;
use super::space;
use super::unpack::{unpack, verify};
use anyhow::Result;
use std::fs;
use std::path::Path;

/// Libraries of the three wheels that the CPU needs, besides the headers.
const CPU_LIBRARIES: [&str; 5] = [
    "torch/lib/libtorch_cpu.so",
    "torch/lib/libc10.so",
    "torch/lib/libgomp.so.1",
    "nvidia/cu13/lib/libcudart.so.13",
    "nvidia/cu13/lib/libcupti.so.13",
];

/// Downloads a wheel to a folder.
type Fetch = Box<dyn Fn(&Wheel, &Path) -> Result<()>>;

/// The wheels for a device, and how to download them.
pub struct Wheels {
    device: Device,
    wheels: Vec<Wheel>,
    fetch: Fetch,
}

impl Wheels {
    /// The pinned wheels, downloaded by pip.
    pub fn pinned(device: Device) -> Self {
        let fetch = |wheel: &Wheel, folder: &Path| {
            pip::check()?;
            pip::download(wheel, folder)
        };
        Wheels { device, wheels: wheels(device), fetch: Box::new(fetch) }
    }

    /// Wheels of a test.
    #[cfg(test)]
    pub fn faked(wheels: Vec<Wheel>, fetch: Fetch) -> Self {
        Wheels { device: Device::Cpu, wheels, fetch }
    }

    fn place(&self, name: &str) -> Option<String> {
        let library = match self.device {
            Device::Cpu => CPU_LIBRARIES.contains(&name),
            Device::Cuda => is_library(name),
        };
        (library || name.starts_with("torch/include/")).then(|| name.to_owned())
    }
}

impl Source for Wheels {
    fn name(&self) -> &'static str {
        "wheel"
    }

    fn title(&self) -> &'static str {
        "the PyPI wheel"
    }

    fn fill(&self, layout: &LibtorchPaths, into: &Path) -> Result<Tree> {
        space::check(layout, self.device)?;
        let folder = layout.downloads();
        fs::create_dir_all(&folder)?;
        for (i, wheel) in self.wheels.iter().enumerate() {
            let path = folder.join(wheel.file);
            if !path.exists() {
                eprintln!(
                    "downloading {} with pip ({} of {})",
                    wheel.requirement(),
                    i + 1,
                    self.wheels.len()
                );
                (self.fetch)(wheel, &folder)?;
            }
            verify(&path, wheel.sha256)?;
        }
        for wheel in &self.wheels {
            unpack(&folder.join(wheel.file), into, &|name| self.place(name))?;
        }
        Ok(Tree {
            torch: into.join("torch"),
            version: format!("{}+{}", super::VERSION, self.suffix()),
            origin: self.wheels.first().map_or_else(String::new, |wheel| wheel.file.to_owned()),
            device: self.device,
        })
    }
}

impl Wheels {
    fn suffix(&self) -> &'static str {
        match self.device {
            Device::Cpu => "cpu",
            Device::Cuda => "cu130",
        }
    }
}

/// True for a shared library in a `lib` folder that is needed outside Python.
fn is_library(name: &str) -> bool {
    let Some((folder, file)) = name.rsplit_once('/') else {
        return false;
    };
    let known =
        folder == "torch/lib" || (folder.starts_with("nvidia/") && folder.ends_with("/lib"));
    known && (file.ends_with(".so") || file.contains(".so.")) && file != "libtorch_python.so"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cpu_takes_only_what_it_needs() {
        let wheels = Wheels::pinned(Device::Cpu);
        assert!(wheels.place("torch/lib/libtorch_cpu.so").is_some());
        assert!(wheels.place("torch/include/ATen/ATen.h").is_some());
        assert!(wheels.place("torch/lib/libtorch_cuda.so").is_none());
        assert!(wheels.place("torch/__init__.py").is_none());
    }

    #[test]
    fn cuda_takes_every_library_outside_python() {
        let wheels = Wheels::pinned(Device::Cuda);
        assert!(wheels.place("torch/lib/libtorch_cuda.so").is_some());
        assert!(wheels.place("nvidia/cudnn/lib/libcudnn.so.9").is_some());
        assert!(wheels.place("nvidia/cudnn/include/cudnn.h").is_none());
        assert!(wheels.place("torch/lib/libtorch_python.so").is_none());
    }
}
