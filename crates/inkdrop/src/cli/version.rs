//! What `inkdrop --version -v` says beside the version.

use anyhow::Result;
use inkdrop::torch::{isa, own_kernels, torch_config};

/// The kernels and the libtorch of this process, line by line.
pub fn details() -> Result<Vec<String>> {
    let isa = isa()?;
    let kernels = match own_kernels()? {
        true => format!("{isa} (INKDROP_MAX_ISA caps them)"),
        false => "off (INKDROP_KERNELS)".to_string(),
    };
    let config = torch_config()?;
    let after = |start: &str| {
        let found = config.split_once(start).map(|(_, rest)| rest);
        let end = |c: char| c == ',' || c == '\n' || c == '(';
        found.and_then(|rest| rest.split(end).next()).unwrap_or("unknown").trim().to_string()
    };
    Ok(vec![
        format!("kernels of inkdrop: {kernels}"),
        format!("libtorch: {}", after("TORCH_VERSION=")),
        format!("kernels of libtorch: {} (ATEN_CPU_CAPABILITY)", after("CPU capability usage: ")),
        format!("oneDNN: {} (ONEDNN_MAX_CPU_ISA)", after("Intel(R) MKL-DNN ")),
    ])
}
