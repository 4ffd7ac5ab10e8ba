//! Time of repetitions, and peak resident memory.

use std::fs;
use std::time::Instant;

use crate::Result;
use crate::job::Job;

/// Seconds of each repetition after the warm-up: at least `least` of them, for at least `seconds`.
pub fn measure(job: &Job, mut work: impl FnMut() -> Result<()>) -> Result<Vec<f64>> {
    let mut seconds = Vec::new();
    if job.least == 0 {
        return Ok(seconds);
    }
    for _ in 0..job.warm_up {
        repetition(job, &mut work)?;
    }
    let begun = Instant::now();
    while seconds.len() < job.least || begun.elapsed().as_secs_f64() < job.seconds {
        seconds.push(repetition(job, &mut work)?);
    }
    Ok(seconds)
}

fn repetition(job: &Job, work: &mut impl FnMut() -> Result<()>) -> Result<f64> {
    let begun = Instant::now();
    for _ in 0..job.inner {
        work()?;
    }
    Ok(begun.elapsed().as_secs_f64() / f64::from(job.inner))
}

/// Peak resident memory of this process; `None` if the system does not report it.
pub fn peak_mib() -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kib: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib / 1024.0)
}
