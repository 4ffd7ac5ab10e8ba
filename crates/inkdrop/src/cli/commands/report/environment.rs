//! The environment of a report: versions, processor, device, date.

use std::env::consts::{ARCH, OS};
use std::fs;
use std::thread::available_parallelism;

use inkdrop::torch::tch::Device;
use time::UtcDateTime;

/// The release that tch 0.24 binds; its build refuses any other.
const LIBTORCH: &str = "2.11.0";

/// Names and values.
pub fn of(device: Device) -> Vec<(String, String)> {
    let cores = available_parallelism().map_or("unknown".to_string(), |cores| cores.to_string());
    let device = match device {
        Device::Cuda(index) => format!("cuda:{index}"),
        _ => "cpu".to_string(),
    };
    [
        ("page made", now()),
        ("inkdrop", env!("CARGO_PKG_VERSION").to_string()),
        ("libtorch", LIBTORCH.to_string()),
        ("device", device),
        ("processor", processor()),
        ("cores", cores),
        ("system", system()),
    ]
    .map(|(name, value)| (name.to_string(), value))
    .into()
}

/// Name of the processor from /proc/cpuinfo, else its architecture.
fn processor() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    field.map_or(ARCH.to_string(), |(_, name)| name.trim().to_string())
}

/// Name of the system from /etc/os-release, else its kind and architecture.
fn system() -> String {
    let text = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let name = text.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    let name = name.map(|name| name.trim_matches('"').to_string());
    name.map_or(format!("{OS} {ARCH}"), |name| format!("{name} ({OS} {ARCH})"))
}

/// The time now as `2026-11-21 12:05 UTC`.
fn now() -> String {
    let now = UtcDateTime::now();
    let (year, month, day) = (now.year(), u8::from(now.month()), now.day());
    format!("{year}-{month:02}-{day:02} {:02}:{:02} UTC", now.hour(), now.minute())
}
