//! Comparison of inkdrop with its baselines on one row: outputs first, then time or memory.

use anyhow::{Context, Result};
use serde_json::Value;

use super::job::{Jobs, Pace, path};
use super::outcome::Outcome;
use super::pairs::{Figure, Pair, pair};
use super::programs::{Ours, Theirs};
use super::result::{Baseline, RowResult};
use super::rows::{BenchRow, Task, Work};

/// Compares inkdrop with the baselines, row by row.
pub struct Comparison<'a> {
    /// Folder of the job files.
    pub jobs: &'a Jobs,
    /// Starts inkdrop's programs.
    pub ours: &'a Ours<'a>,
    /// Starts PyTorch's programs.
    pub theirs: &'a Theirs,
    /// Number of pairs of processes per row.
    pub pairs: usize,
}

impl Comparison<'_> {
    /// Compares the outputs, then measures. Errors become the `failure` of the result.
    pub fn run(&self, row: BenchRow, modes: &[&'static str]) -> RowResult {
        let baseline =
            |&mode| Baseline { mode, difference: None, pairs: Vec::new(), trouble: None };
        let baselines = modes.iter().map(baseline).collect();
        let mut result =
            RowResult { row, difference: None, same: Vec::new(), baselines, failure: None };
        let done = self.compare(&mut result).and_then(|()| self.measure(&mut result));
        result.failure = done.err().map(|error| format!("{error:#}"));
        result
    }

    /// Compares the outputs of a job with those of the reference.
    fn compare(&self, result: &mut RowResult) -> Result<()> {
        let (work, name) = match result.row.task {
            Task::Job(work, _) | Task::Memory(work, _) => (work, result.row.name),
            Task::FirstImage => return Ok(()),
        };
        let mut job = self.jobs.fields(name, work, Pace::NONE);
        if work.what != "schedule" {
            self.theirs.prepare(&self.jobs.write(name, &job)?)?;
        }
        let Task::Job(_, tolerance) = result.row.task else { return Ok(()) };
        let output = path(&self.jobs.file(&format!("{name}-output.safetensors")));
        job["output"] = output.clone();
        self.ours.job(&self.jobs.write(name, &job)?)?;
        job["compare"] = output;
        job["modes"] = modes(result.baselines.iter().map(|baseline| baseline.mode));
        let outcome = self.theirs.job(&self.jobs.write(name, &job)?)?;
        result.judge(&outcome, tolerance)
    }

    /// Measures all pairs, and inkdrop against itself (A/A).
    fn measure(&self, result: &mut RowResult) -> Result<()> {
        let row = result.row;
        let runnable = |baseline: &&mut Baseline| baseline.trouble.is_none();
        let mut baselines: Vec<&mut Baseline> =
            result.baselines.iter_mut().filter(runnable).collect();
        let names: Vec<&str> = baselines.iter().map(|baseline| baseline.mode).collect();
        for number in 0..self.pairs {
            eprintln!("{}: pair {} of {}", row.name, number + 1, self.pairs);
            let ours = || self.our_figure(row);
            let (mine, others) = pair(number, ours, || self.their_figures(row, &names))?;
            for (baseline, theirs) in baselines.iter_mut().zip(others) {
                baseline.pairs.push(Pair { ours: mine, theirs });
            }
            let (ours, theirs) = pair(number, ours, ours)?;
            result.same.push(Pair { ours, theirs });
        }
        Ok(())
    }

    /// inkdrop's figure, measured in a new process.
    fn our_figure(&self, row: BenchRow) -> Result<f64> {
        let Some((work, pace)) = timed(row) else {
            return self.ours.first_image(&self.jobs.file("ours.png"));
        };
        let job = self.jobs.fields(row.name, work, pace);
        let outcome = self.ours.job(&self.jobs.write(row.name, &job)?)?;
        figure(row, &outcome, "ours")
    }

    /// The baselines' figures. Time: one new process for all; memory: one new process for each.
    fn their_figures(&self, row: BenchRow, names: &[&str]) -> Result<Vec<f64>> {
        let Some((work, pace)) = timed(row) else {
            let out = self.jobs.file("theirs.png");
            return Ok(vec![self.theirs.first_image(&self.jobs.sprites, &out)?]);
        };
        let mut job = self.jobs.fields(row.name, work, pace);
        let together = if row.figure() == Figure::Peak { 1 } else { names.len().max(1) };
        let mut figures = Vec::new();
        for some in names.chunks(together) {
            job["modes"] = modes(some.iter().copied());
            let outcome = self.theirs.job(&self.jobs.write(row.name, &job)?)?;
            for mode in some {
                figures.push(figure(row, &outcome, mode)?);
            }
        }
        Ok(figures)
    }
}

/// The work and the pace of a process that is measured; `None` for whole programs.
fn timed(row: BenchRow) -> Option<(Work, Pace)> {
    match row.task {
        Task::Job(work, _) => Some((work, Pace::USUAL)),
        Task::Memory(work, times) => Some((work, Pace::times(times))),
        Task::FirstImage => None,
    }
}

fn figure(row: BenchRow, outcome: &Outcome, mode: &str) -> Result<f64> {
    let figure = match row.figure() {
        Figure::Peak => outcome.number("peak_mib"),
        Figure::Seconds | Figure::Wall => outcome.seconds(mode),
    };
    let error = outcome.error(mode);
    figure.filter(|_| error.is_none()).with_context(|| match error {
        Some(error) => format!("{mode}: {error}"),
        None => format!("{mode} returned no figure: peak memory is measured on Linux only"),
    })
}

fn modes<'a>(names: impl Iterator<Item = &'a str>) -> Value {
    names.map(Value::from).collect()
}
