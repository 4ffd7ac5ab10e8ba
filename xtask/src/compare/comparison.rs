//! One row: are the outputs the same, and if so, who is faster?

use anyhow::{Context, Result};
use serde_json::Value;

use super::job::{Jobs, Pace, path};
use super::outcome::Outcome;
use super::pairs::{Figure, Pair, pair};
use super::programs::{Ours, Theirs};
use super::result::{Baseline, RowResult};
use super::rows::{Row, Task, Work};

/// Both sides.
pub struct Comparison<'a> {
    /// Where their files are.
    pub jobs: &'a Jobs,
    /// inkdrop's.
    pub ours: &'a Ours<'a>,
    /// PyTorch's.
    pub theirs: &'a Theirs,
    /// How many pairs of processes.
    pub pairs: usize,
}

impl Comparison<'_> {
    /// Compares, then measures; what goes wrong is part of what is result.
    pub fn run(&self, row: Row, modes: &[&'static str]) -> RowResult {
        let baseline =
            |&mode| Baseline { mode, difference: None, pairs: Vec::new(), trouble: None };
        let baselines = modes.iter().map(baseline).collect();
        let mut result =
            RowResult { row, difference: None, same: Vec::new(), baselines, failure: None };
        let done = self.compare(&mut result).and_then(|()| self.measure(&mut result));
        result.failure = done.err().map(|error| format!("{error:#}"));
        result
    }

    /// Holds the outputs of a job against the reference's.
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

    /// Runs the pairs.
    fn measure(&self, result: &mut RowResult) -> Result<()> {
        let row = result.row;
        let fit = |baseline: &&mut Baseline| baseline.trouble.is_none();
        let mut baselines: Vec<&mut Baseline> = result.baselines.iter_mut().filter(fit).collect();
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

    /// inkdrop's figure, of a fresh process.
    fn our_figure(&self, row: Row) -> Result<f64> {
        let Some((work, pace)) = timed(row) else {
            return self.ours.first_image(&self.jobs.file("ours.png"));
        };
        let job = self.jobs.fields(row.name, work, pace);
        let outcome = self.ours.job(&self.jobs.write(row.name, &job)?)?;
        figure(row, &outcome, "ours")
    }

    /// The baselines' figures: of one fresh process for all, but of one each where memory is measured.
    fn their_figures(&self, row: Row, names: &[&str]) -> Result<Vec<f64>> {
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

/// What one process does where a job is measured.
fn timed(row: Row) -> Option<(Work, Pace)> {
    match row.task {
        Task::Job(work, _) => Some((work, Pace::USUAL)),
        Task::Memory(work, times) => Some((work, Pace::times(times))),
        Task::FirstImage => None,
    }
}

fn figure(row: Row, outcome: &Outcome, mode: &str) -> Result<f64> {
    let figure = match row.figure() {
        Figure::Peak => outcome.number("peak_mib"),
        Figure::Seconds | Figure::Wall => outcome.seconds(mode),
    };
    let error = outcome.error(mode);
    figure.filter(|_| error.is_none()).with_context(|| match error {
        Some(error) => format!("{mode}: {error}"),
        None => format!("{mode} says no figure: peaks of memory are known on Linux only"),
    })
}

fn modes<'a>(names: impl Iterator<Item = &'a str>) -> Value {
    names.map(Value::from).collect()
}
