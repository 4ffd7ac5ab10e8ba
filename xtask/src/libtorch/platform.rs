//! The platforms that libtorch is downloaded for.

use super::{Device, VERSION};
use anyhow::{Result, bail};
use std::env::consts::{ARCH, OS};

/// An operating system and a processor, with the names of libtorch's files there.
#[derive(Debug)]
pub struct Platform {
    os: &'static str,
    arch: &'static str,
    /// Platform tags of the wheels.
    pub wheel_tags: &'static [&'static str],
    /// Libraries of the wheels that the CPU needs, besides the headers.
    pub cpu_libraries: &'static [&'static str],
    /// Name of the official zip for the CPU, and for CUDA.
    zips: [Option<&'static str>; 2],
}

const ALL: [Platform; 3] = [
    Platform {
        os: "linux",
        arch: "x86_64",
        wheel_tags: &[
            "manylinux_2_28_x86_64",
            "manylinux_2_27_x86_64",
            "manylinux_2_25_x86_64",
            "manylinux_2_18_x86_64",
            "manylinux2014_x86_64",
        ],
        cpu_libraries: &[
            "torch/lib/libtorch_cpu.so",
            "torch/lib/libc10.so",
            "torch/lib/libgomp.so.1",
            "nvidia/cu13/lib/libcudart.so.13",
            "nvidia/cu13/lib/libcupti.so.13",
        ],
        zips: [Some("libtorch-shared-with-deps-"), Some("libtorch-shared-with-deps-")],
    },
    Platform {
        os: "linux",
        arch: "aarch64",
        wheel_tags: &[
            "manylinux_2_28_aarch64",
            "manylinux_2_27_aarch64",
            "manylinux_2_25_aarch64",
            "manylinux_2_18_aarch64",
            "manylinux2014_aarch64",
        ],
        cpu_libraries: &[
            "torch/lib/libtorch_cpu.so",
            "torch/lib/libc10.so",
            "torch/lib/libgomp.so.1",
            "torch/lib/libarm_compute.so",
            "torch/lib/libarm_compute_graph.so",
            "torch/lib/libgfortran.so.5",
            "torch/lib/libnvpl_blas_core.so.0",
            "torch/lib/libnvpl_blas_lp64_gomp.so.0",
            "torch/lib/libnvpl_lapack_core.so.0",
            "torch/lib/libnvpl_lapack_lp64_gomp.so.0",
            "nvidia/cu13/lib/libcudart.so.13",
            "nvidia/cu13/lib/libcupti.so.13",
        ],
        zips: [None, None],
    },
    Platform {
        os: "macos",
        arch: "aarch64",
        wheel_tags: &["macosx_11_0_arm64"],
        cpu_libraries: &[
            "torch/lib/libtorch.dylib",
            "torch/lib/libtorch_cpu.dylib",
            "torch/lib/libc10.dylib",
            "torch/lib/libomp.dylib",
        ],
        zips: [Some("libtorch-macos-arm64-"), None],
    },
];

impl Platform {
    /// The platform of this machine.
    pub fn here() -> Result<&'static Self> {
        Self::find(OS, ARCH)
    }

    fn find(os: &str, arch: &str) -> Result<&'static Self> {
        if let Some(known) = ALL.iter().find(|known| (known.os, known.arch) == (os, arch)) {
            return Ok(known);
        }
        bail!(
            "setup does not know {os} on {arch}, only Linux on x86_64 and aarch64, and macOS on\n\
             arm64. Install libtorch {VERSION} yourself (https://pytorch.org, or\n\
             `pip install torch=={VERSION}`), export LIBTORCH with its folder and its lib/ on\n\
             the library path, and use cargo directly"
        )
    }

    /// The address of the official zip for a device.
    ///
    /// # Errors
    /// The PyTorch project publishes none for this platform.
    pub fn zip_url(&self, device: Device) -> Result<String> {
        let [cpu, cuda] = self.zips;
        let name = if device == Device::Cpu { cpu } else { cuda };
        let Some(name) = name else {
            bail!("there is no zip for {} on {}", self.os, self.arch);
        };
        let build = build_of(device);
        // The version has no build in names for macOS.
        let suffix = if self.os == "macos" { String::new() } else { format!("%2B{build}") };
        Ok(format!("https://download.pytorch.org/libtorch/{build}/{name}{VERSION}{suffix}.zip"))
    }
}

/// PyTorch's name for the builds for a device.
pub fn build_of(device: Device) -> &'static str {
    match device {
        Device::Cpu => "cpu",
        Device::Cuda => "cu130",
    }
}

/// True for the name of a shared library.
pub fn is_shared(file: &str) -> bool {
    file.ends_with(".so") || file.contains(".so.") || file.ends_with(".dylib")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn three_platforms_are_known_and_others_are_named() {
        let cuda = [("x86_64", true), ("aarch64", false)];
        for (arch, has_zip) in cuda {
            let linux = Platform::find("linux", arch).unwrap();
            assert_eq!(linux.zip_url(Device::Cuda).is_ok(), has_zip);
            assert!(linux.wheel_tags.iter().all(|tag| tag.ends_with(arch)));
        }
        let mac = Platform::find("macos", "aarch64").unwrap();
        let zip = mac.zip_url(Device::Cpu).unwrap();
        assert!(zip.ends_with("/libtorch/cpu/libtorch-macos-arm64-2.11.0.zip"), "{zip}");
        assert!(mac.zip_url(Device::Cuda).is_err());
        for platform in &ALL {
            let mut libraries = platform.cpu_libraries.iter();
            assert!(libraries.all(|name| is_shared(name)));
        }
        let text = Platform::find("windows", "x86_64").unwrap_err().to_string();
        assert!(text.contains("windows on x86_64") && text.contains("LIBTORCH"), "{text}");
    }
}
