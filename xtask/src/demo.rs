//! `cargo xtask demo`: builds the program, samples images, and prints the time of each step.

use crate::tasks::build;
use crate::workspace::{Workspace, run as run_child};
use anyhow::Result;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

/// Runs all steps; stops at the first failure and returns its exit status.
pub fn run(ws: &Workspace, out: &Path) -> Result<u8> {
    let mut laps = vec![Instant::now()];
    ws.need_libtorch()?;
    laps.push(Instant::now());
    let mut code = build(ws, "inkdrop", &[])?;
    laps.push(Instant::now());
    if code == 0 {
        code = run_child(ws.binary("inkdrop").arg("demo").arg("--out").arg(out))?;
        laps.push(Instant::now());
    }
    if code != 0 {
        return Ok(code);
    }
    println!("\nfiles:");
    for (name, what) in [("sprites.png", "samples"), ("sprites.gif", "animation of the denoising")]
    {
        let path = out.join(name);
        if let Ok(meta) = fs::metadata(&path) {
            println!("  {}  ({what}, {:.0} kB)", path.display(), meta.len() as f64 / 1e3);
        }
    }
    let steps = ["setup", "build", "sampling"].iter().zip(laps.windows(2));
    let steps = steps.map(|(name, lap)| format!("{name} {}, ", human(lap[1] - lap[0])));
    println!("time: {}total {}", steps.collect::<String>(), human(laps[0].elapsed()));
    Ok(0)
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
