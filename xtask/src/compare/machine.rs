//! The environment of a measurement: processor, date, commit and versions.

use std::fs;
use std::process::Command;
use std::thread::available_parallelism;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::libtorch::stamp::Stamp;
use crate::workspace::Workspace;

/// The environment of a measurement.
#[derive(Debug)]
pub struct Machine {
    cpu: String,
    cores: usize,
    date: String,
    commit: String,
    libtorch: String,
    /// Versions of the baseline's libraries; empty without a baseline.
    pub versions: String,
    threads: usize,
}

impl Machine {
    /// Collects the environment of this machine.
    pub fn here(ws: &Workspace, libtorch: &Stamp, threads: usize) -> Self {
        let days = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
        let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        Self {
            cpu: model(&cpu).unwrap_or("unknown processor").to_owned(),
            cores: cores(),
            date: date(days / 86_400),
            commit: commit(ws).unwrap_or_else(|| "unknown".to_owned()),
            libtorch: libtorch.version.clone(),
            versions: String::new(),
            threads,
        }
    }

    /// The environment as a few lines of text.
    pub fn describe(&self) -> String {
        let Self { cpu, cores, date, commit, libtorch, versions, threads } = self;
        let mut text = format!(
            "{cpu}, {cores} cores; {date}; commit {commit}\n\
             inkdrop {}, libtorch {libtorch}; {threads} threads, f32\n",
            env!("CARGO_PKG_VERSION")
        );
        if !versions.is_empty() {
            text += &format!("{versions}\n");
        }
        if let Some(other) = self.other_release() {
            text += &format!(
                "PyTorch {other} is another release than libtorch {libtorch}: \
                 it may explain a part of the differences\n"
            );
        }
        if self.has_cuda() {
            text += "PyTorch is a build with CUDA: it loads libraries that a CPU build does not have, which costs \
                     start-up time and memory\n";
        }
        text
    }

    /// The environment as JSON.
    pub fn json(&self) -> Value {
        let Self { cpu, cores, date, commit, libtorch, versions, threads } = self;
        json!({
            "cpu": cpu, "cores": cores, "date": date, "commit": commit, "libtorch": libtorch,
            "inkdrop": env!("CARGO_PKG_VERSION"), "versions": versions, "threads": threads,
            "same_release": self.other_release().is_none(), "cuda_build": self.has_cuda(),
        })
    }

    /// PyTorch's version, such as `2.11.0+cpu`.
    fn pytorch(&self) -> Option<&str> {
        self.versions.split(", ").find_map(|word| word.strip_prefix("PyTorch "))
    }

    fn has_cuda(&self) -> bool {
        self.pytorch().is_some_and(|version| version.contains("+cu"))
    }

    /// PyTorch's version if its release differs from libtorch's.
    fn other_release(&self) -> Option<&str> {
        let version = self.pytorch()?;
        let release = version.split('+').next()?;
        (release != self.libtorch).then_some(version)
    }
}

/// Number of cores that this process may use.
pub fn cores() -> usize {
    available_parallelism().map_or(1, usize::from)
}

fn model(cpuinfo: &str) -> Option<&str> {
    let line = cpuinfo.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim())
}

/// The commit, followed by "with changes" if tracked files were modified.
fn commit(ws: &Workspace) -> Option<String> {
    let git = |args: &[&str]| {
        let output = Command::new("git").args(args).current_dir(ws.root()).output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        output.status.success().then(|| text.trim().to_owned())
    };
    let name = git(&["rev-parse", "--short", "HEAD"])?;
    let clean = git(&["status", "--porcelain", "--untracked-files=no"])?.is_empty();
    Some(if clean { name } else { format!("{name} with changes") })
}

/// The date that is `days` after 1970-01-01 (Hinnant, "chrono-compatible low-level date algorithms").
fn date(days: u64) -> String {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let leaps = day_of_era / 1460 + day_of_era / 146_096;
    let year_of_era = (day_of_era + day_of_era / 36_524 - leaps) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153; // from March
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    format!("{:04}-{month:02}-{day:02}", year_of_era + era * 400 + next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_dates() {
        for (days, expected) in [
            (0, "1970-01-01"),
            (11_016, "2000-02-29"),
            (19_723, "2024-01-01"),
            (20_088, "2024-12-31"),
            (20_777, "2026-11-20"),
        ] {
            assert_eq!(date(days), expected);
        }
    }

    #[test]
    fn the_processor_has_a_name() {
        assert_eq!(model("vendor_id : x\nmodel name\t: A Chip @ 2 GHz\n"), Some("A Chip @ 2 GHz"));
        assert_eq!(model(""), None);
    }

    #[test]
    fn another_release_is_noticed() {
        let machine = |versions: &str| Machine {
            cpu: String::new(),
            cores: 1,
            date: String::new(),
            commit: String::new(),
            libtorch: "2.11.0".to_owned(),
            versions: versions.to_owned(),
            threads: 1,
        };
        assert_eq!(machine("Python 3, PyTorch 2.11.0+cpu").other_release(), None);
        assert_eq!(machine("PyTorch 2.12.1+cu130").other_release(), Some("2.12.1+cu130"));
        assert_eq!(machine("").other_release(), None);
        assert!(machine("PyTorch 2.12.1").describe().contains("another release"));
        assert!(machine("PyTorch 2.11.0+cu130").describe().contains("a build with CUDA"));
        assert!(!machine("PyTorch 2.11.0+cpu").describe().contains("a build with CUDA"));
    }
}
