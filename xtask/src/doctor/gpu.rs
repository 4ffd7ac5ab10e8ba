//! Checks for an NVIDIA GPU and for CUDA in libtorch.

use super::Finding;
use super::tools::first_line;
use std::path::Path;
use std::process::Command;

/// Folders of the driver's libcuda.so.1 on common systems, including WSL.
const DRIVER_FOLDERS: [&str; 4] =
    ["/usr/lib/x86_64-linux-gnu", "/usr/lib64", "/usr/lib/wsl/lib", "/usr/local/nvidia/lib64"];

/// The finding about the GPU. `device` is the one that libtorch is built for.
pub fn finding(device: Option<&str>) -> Finding {
    let mut smi = Command::new("nvidia-smi");
    let gpu = first_line(smi.args(["--query-gpu=name", "--format=csv,noheader"]));
    let driver = DRIVER_FOLDERS.iter().any(|dir| Path::new(dir).join("libcuda.so.1").exists());
    judge(gpu.filter(|name| !name.is_empty()), driver, device)
}

fn judge(gpu: Option<String>, driver: bool, device: Option<&str>) -> Finding {
    let cuda = device == Some("cuda");
    let with_cuda = "cargo xtask setup --device cuda";
    match gpu {
        Some(name) if cuda => Finding::ok("GPU", format!("{name}, and libtorch has CUDA")),
        Some(name) => Finding::note("GPU", format!("{name}, but libtorch has no CUDA"), with_cuda),
        None if driver && !cuda => {
            Finding::note("GPU", "libcuda.so.1 is here, but libtorch has no CUDA", with_cuda)
        }
        None if cuda && !driver => {
            Finding::ok("GPU", "none found; libtorch has CUDA and runs on the CPU")
        }
        None => Finding::ok("GPU", "none found; runs on the CPU"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Mark;
    use super::*;

    #[test]
    fn a_gpu_without_cuda_is_worth_a_note() {
        let gpu = || Some("H200".to_owned());
        assert_eq!(judge(gpu(), true, Some("cpu")).mark, Mark::Note);
        assert_eq!(judge(None, true, Some("cpu")).mark, Mark::Note);
        assert_eq!(judge(gpu(), true, Some("cuda")).mark, Mark::Ok);
        assert_eq!(judge(None, false, None).mark, Mark::Ok);
    }
}
