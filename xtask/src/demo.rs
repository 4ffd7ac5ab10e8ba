//! `cargo xtask demo`: builds the program, samples images, and prints the time of each step.

use crate::pass;
use crate::workspace::{Workspace, run as run_child};
use anyhow::Result;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Options of `demo`.
#[derive(clap::Args)]
pub struct Options {
    /// Folder for the images
    #[arg(long, value_name = "DIR", default_value = "out")]
    out: PathBuf,
}

/// Runs all steps; stops at the first failure and returns its exit status.
pub fn run(ws: &Workspace, options: &Options) -> Result<u8> {
    let mut clock = Clock::start();
    ws.need_libtorch()?;
    clock.lap("setup");
    match pass::build(ws)? {
        0 => clock.lap("build"),
        failed => return Ok(failed),
    }
    let mut inkdrop = ws.binary("inkdrop");
    match run_child(inkdrop.arg("demo").arg("--out").arg(&options.out))? {
        0 => clock.lap("sampling"),
        failed => return Ok(failed),
    }
    println!("\nfiles:");
    for line in written(&options.out) {
        println!("  {line}");
    }
    println!("{}", clock.summary());
    Ok(0)
}

/// The files that the demo has written, with their sizes.
fn written(out: &Path) -> Vec<String> {
    let files = [("sprites.png", "samples"), ("sprites.gif", "animation of the denoising")];
    let line = |(name, what): &(&str, &str)| {
        let path = out.join(name);
        let size = fs::metadata(&path).ok()?.len() as f64 / 1e3;
        Some(format!("{}  ({what}, {size:.0} kB)", path.display()))
    };
    files.iter().filter_map(line).collect()
}

/// Time of each step.
struct Clock {
    start: Instant,
    last: Instant,
    laps: Vec<(&'static str, Duration)>,
}

impl Clock {
    fn start() -> Self {
        let now = Instant::now();
        Clock { start: now, last: now, laps: Vec::new() }
    }

    fn lap(&mut self, name: &'static str) {
        self.laps.push((name, self.last.elapsed()));
        self.last = Instant::now();
    }

    fn summary(&self) -> String {
        let laps = self.laps.iter().map(|(name, time)| format!("{name} {}", human(*time)));
        let parts: Vec<_> = laps.collect();
        format!("time: {}, total {}", parts.join(", "), human(self.start.elapsed()))
    }
}

/// Formats a time as `0.4 s`, `12 s` or `3 min 05 s`.
fn human(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    match seconds {
        s if s < 10.0 => format!("{s:.1} s"),
        s if s < 60.0 => format!("{s:.0} s"),
        s => format!("{} min {:02} s", s as u64 / 60, s as u64 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_for_people() {
        let cases = [(400, "0.4 s"), (12_300, "12 s"), (185_000, "3 min 05 s")];
        for (ms, text) in cases {
            assert_eq!(human(Duration::from_millis(ms)), text);
        }
    }
}
