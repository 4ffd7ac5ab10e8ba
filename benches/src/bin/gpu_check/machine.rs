//! Description of the machine: device, driver, libtorch, memory and CUDA graphs.

use std::process::Command;

use inkdrop_torch::tch::{Cuda, Device};
use inkdrop_torch::{cuda_graphs, gpu_memory, torch_config};

use inkdrop_benches::Result;

/// The description as lines of text.
pub fn describe(device: Device) -> Result<String> {
    let config = torch_config()?;
    let mut lines = vec![format!("libtorch  {}", libtorch(&config))];
    if let Device::Cuda(index) = device {
        let memory = gpu_memory(device)?;
        let gib = |bytes: i64| bytes as f64 / f64::from(1 << 30);
        lines.push(format!("device    cuda:{index} of {}: {}", Cuda::device_count(), gpu(index)));
        let (free, total) = (gib(memory.free), gib(memory.total));
        lines.push(format!("memory    {free:.1} GiB free of {total:.1} GiB"));
        let cudnn = if Cuda::cudnn_is_available() { "yes" } else { "no: convolutions are slow" };
        lines.push(format!("cuDNN     {cudnn}"));
    } else {
        lines.push("device    the CPU, instead of a GPU".to_string());
    }
    let graphs = cuda_graphs().map_or_else(|why| format!("no graphs: {why}"), |()| "yes".into());
    lines.push(format!("graphs    {graphs}"));
    Ok(lines.join("\n") + "\n")
}

/// Release and CUDA libraries, from libtorch's build configuration.
fn libtorch(config: &str) -> String {
    let setting = |name: &str| {
        let (_, rest) = config.split_once(&format!("{name}="))?;
        rest.split([',', '\n']).next().map(str::trim)
    };
    let mut words = vec![setting("TORCH_VERSION").unwrap_or("of unknown release").to_string()];
    for line in config.lines().map(|line| line.trim_start_matches([' ', '-'])) {
        if line.starts_with("CUDA Runtime") || line.starts_with("CuDNN") {
            words.push(line.to_string());
        }
    }
    words.join(", ")
}

/// Name and driver, from nvidia-smi.
fn gpu(index: usize) -> String {
    let query = ["--query-gpu=name,driver_version", "--format=csv,noheader", "-i"];
    let output = Command::new("nvidia-smi").args(query).arg(index.to_string()).output();
    let text = output.ok().filter(|output| output.status.success());
    let text = text.and_then(|output| String::from_utf8(output.stdout).ok());
    match text.as_deref().map(str::trim).and_then(|line| line.split_once(", ")) {
        Some((name, driver)) => format!("{name}, driver {driver}"),
        None => "name and driver unknown (nvidia-smi does not report them)".to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::libtorch;

    #[test]
    fn the_release_is_found_in_libtorchs_page() {
        let page = "PyTorch built with:\n  - CUDA Runtime 13.0\n  - CuDNN 91.9\n  - Build settings: A=1, TORCH_VERSION=2.11.0, USE_CUDA=ON, \n";
        assert_eq!(libtorch(page), "2.11.0, CUDA Runtime 13.0, CuDNN 91.9");
        assert_eq!(libtorch(""), "of unknown release");
    }
}
