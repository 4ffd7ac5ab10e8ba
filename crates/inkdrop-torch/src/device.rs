//! The device to compute on, and the reason if a GPU is not available.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::OnceLock;

use tch::{Cuda, Device};

/// A device as a user names it: `auto`, `cpu`, `cuda` or `cuda:1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DeviceChoice {
    /// The first usable GPU, or the CPU if there is none.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// The GPU with this index; an error if it cannot be used.
    Cuda(usize),
}

/// Error of a device that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// The name has no known form.
    #[error("unknown device `{0}`: expected auto, cpu, cuda or cuda:N")]
    Unknown(String),
    /// libtorch_cuda could not be loaded.
    #[error(
        "device cuda:{index} was requested, but {reason}; use --device cpu, or install a CUDA libtorch with `cargo xtask setup --device cuda`"
    )]
    NoCuda {
        /// Index of the requested GPU.
        index: usize,
        /// The reason.
        reason: String,
    },
    /// The index is too large.
    #[error("device cuda:{index} was requested, but only {count} GPU(s) are visible")]
    NoSuchGpu {
        /// Index of the requested GPU.
        index: usize,
        /// Number of visible GPUs.
        count: i64,
    },
}

impl FromStr for DeviceChoice {
    type Err = DeviceError;

    fn from_str(text: &str) -> Result<Self, DeviceError> {
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(0)),
            _ => text
                .strip_prefix("cuda:")
                .and_then(|index| index.parse().ok())
                .map(Self::Cuda)
                .ok_or_else(|| DeviceError::Unknown(text.to_string())),
        }
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(index) => write!(f, "cuda:{index}"),
        }
    }
}

impl DeviceChoice {
    /// The device of one of several processes on a machine: each has a GPU of its own, in the order of
    /// their local ranks. The first process has the named GPU.
    pub fn for_local_rank(self, local_rank: usize) -> Self {
        match self {
            Self::Auto if cuda_state().is_ok() => Self::Cuda(local_rank),
            Self::Auto | Self::Cpu => Self::Cpu,
            Self::Cuda(first) => Self::Cuda(first.saturating_add(local_rank)),
        }
    }

    /// The device to compute on; loads libtorch_cuda if necessary.
    ///
    /// # Errors
    /// The requested GPU cannot be used.
    pub fn resolve(self) -> Result<Device, DeviceError> {
        match self {
            Self::Cpu => Ok(Device::Cpu),
            Self::Auto => Ok(if cuda_state().is_ok() { Device::Cuda(0) } else { Device::Cpu }),
            Self::Cuda(index) => {
                cuda_state().map_err(|reason| DeviceError::NoCuda { index, reason })?;
                let count = Cuda::device_count();
                if i64::try_from(index).is_ok_and(|index| index < count) {
                    return Ok(Device::Cuda(index));
                }
                Err(DeviceError::NoSuchGpu { index, count })
            }
        }
    }
}

/// Checks once if CUDA can be used; libtorch reads its registry only once.
pub(crate) fn cuda_state() -> Result<(), String> {
    static STATE: OnceLock<Result<(), String>> = OnceLock::new();
    STATE
        .get_or_init(|| {
            load_cuda_library()?;
            if Cuda::is_available() {
                Ok(())
            } else {
                Err("the driver reports no usable GPU".to_string())
            }
        })
        .clone()
}

/// Loads libtorch_cuda.so, which registers CUDA in libtorch_cpu.
fn load_cuda_library() -> Result<(), String> {
    const NAME: &str = "libtorch_cuda.so";
    // Next to libtorch_cpu.so in an ordinary installation; `cargo xtask setup` keeps it in another
    // folder, so that torch-sys does not link to it.
    let folder = libtorch_folder().unwrap_or_default();
    let places = [folder.join(NAME), folder.join("../cuda").join(NAME), PathBuf::from(NAME)];
    for path in places {
        match open_for_good(&path) {
            Ok(()) => return Ok(()),
            Err(error) if path.exists() => {
                return Err(format!("{} could not be loaded: {error}", path.display()));
            }
            Err(_) => {}
        }
    }
    Err(format!("this libtorch is a CPU build ({NAME} was not found)"))
}

#[cfg(unix)]
#[allow(unsafe_code)]
fn open_for_good(path: &std::path::Path) -> Result<(), String> {
    use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};
    // SAFETY: running the initialisers of a library is unsafe in general. This one is
    // libtorch's own CUDA half of the release we link to, made to be loaded so; its
    // initialisers only register kernels. It is never unloaded, so nothing dangles.
    let library = unsafe { Library::open(Some(path), RTLD_NOW | RTLD_GLOBAL) };
    library.map(std::mem::forget).map_err(|error| error.to_string())
}

#[cfg(not(unix))]
fn open_for_good(_path: &std::path::Path) -> Result<(), String> {
    Err("loading CUDA at run time is supported on Linux only".to_string())
}

/// The folder that libtorch_cpu.so was loaded from.
fn libtorch_folder() -> Option<PathBuf> {
    let maps = std::fs::read_to_string("/proc/self/maps").ok()?;
    let line = maps.lines().find(|line| line.ends_with("/libtorch_cpu.so"))?;
    let path = PathBuf::from(&line[line.find('/')?..]);
    path.parent().map(PathBuf::from)
}
