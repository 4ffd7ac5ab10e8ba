//! The environment of a report: versions, processor, device, date.

use std::env::consts::{ARCH, OS};
use std::fs;
use std::thread::available_parallelism;
use std::time::{SystemTime, UNIX_EPOCH};

use inkdrop::torch::tch::Device;

/// The release that tch 0.24 binds; its build refuses any other.
const LIBTORCH: &str = "2.11.0";

/// Names and values.
pub fn of(device: Device) -> Vec<(String, String)> {
    let cores = available_parallelism().map_or("unknown".to_string(), |cores| cores.to_string());
    let device = match device {
        Device::Cuda(index) => format!("cuda:{index}"),
        _ => "cpu".to_string(),
    };
    let since = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
    [
        ("page made", date(since)),
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

/// Seconds since 1970 as `2026-11-21 12:05 UTC`.
fn date(seconds: u64) -> String {
    let (minutes, mut days) = (seconds / 60, seconds / 86_400);
    let leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    let mut year = 1970;
    while days >= 365 + u64::from(leap(year)) {
        days -= 365 + u64::from(leap(year));
        year += 1;
    }
    let february = 28 + u64::from(leap(year));
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    let (hour, minute) = (minutes / 60 % 24, minutes % 60);
    format!("{year}-{month:02}-{:02} {hour:02}:{minute:02} UTC", days + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(date(0), "1970-01-01 00:00 UTC");
        assert_eq!(date(951_782_399), "2000-02-28 23:59 UTC");
        assert_eq!(date(951_782_400), "2000-02-29 00:00 UTC");
        assert_eq!(date(1_735_689_599), "2024-12-31 23:59 UTC");
        assert_eq!(date(1_735_689_600), "2025-01-01 00:00 UTC");
    }
}
