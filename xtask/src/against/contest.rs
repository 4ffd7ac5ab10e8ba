//! One row: are the outputs the same, and if so, who is faster?

use anyhow::{Context, Result};
use serde_json::Value;

use super::job::{Jobs, Pace, path};
use super::outcome::{Difference, Outcome};
use super::pairs::{Figure, Pair, pair};
use super::programs::{Ours, Theirs};
use super::rows::{Row, Task, Tolerance, Work};

/// What a row has shown.
#[derive(Debug)]
pub struct Found {
    /// The row.
    pub row: Row,
    /// How far inkdrop's outputs are from the reference's.
    pub difference: Option<Difference>,
    /// Ours against ours.
    pub same: Vec<Pair>,
    /// Ours against each rival.
    pub rivals: Vec<Rival>,
    /// Why nothing is measured, or no more than this.
    pub failure: Option<String>,
}

/// What a row has shown of a rival.
#[derive(Debug)]
pub struct Rival {
    /// Its name.
    pub mode: &'static str,
    /// How far its outputs are from the reference's.
    pub difference: Option<Difference>,
    /// The figures.
    pub pairs: Vec<Pair>,
    /// Why it is not measured.
    pub trouble: Option<Trouble>,
}

/// Why a rival is not measured.
#[derive(Debug)]
pub enum Trouble {
    /// It computes something else.
    Differs(String),
    /// It cannot run, as a compiler that is missing.
    CannotRun(String),
}

/// Both sides.
pub struct Contest<'a> {
    /// Where their files are.
    pub jobs: &'a Jobs,
    /// inkdrop's.
    pub ours: &'a Ours<'a>,
    /// PyTorch's.
    pub theirs: &'a Theirs,
    /// How many pairs of processes.
    pub pairs: usize,
}

impl Contest<'_> {
    /// Compares, then measures; what goes wrong is part of what is found.
    pub fn run(&self, row: Row, modes: &[&'static str]) -> Found {
        let rival = |&mode| Rival { mode, difference: None, pairs: Vec::new(), trouble: None };
        let rivals = modes.iter().map(rival).collect();
        let mut found = Found { row, difference: None, same: Vec::new(), rivals, failure: None };
        let done = self.compare(&mut found).and_then(|()| self.measure(&mut found));
        found.failure = done.err().map(|error| format!("{error:#}"));
        found
    }

    /// Holds the outputs of a job against the reference's.
    fn compare(&self, found: &mut Found) -> Result<()> {
        let (work, name) = match found.row.task {
            Task::Job(work, _) | Task::Memory(work, _) => (work, found.row.name),
            Task::FirstImage => return Ok(()),
        };
        let mut job = self.jobs.fields(name, work, Pace::NONE);
        if work.what != "schedule" {
            self.theirs.prepare(&self.jobs.write(name, &job)?)?;
        }
        let Task::Job(_, tolerance) = found.row.task else { return Ok(()) };
        let output = path(&self.jobs.file(&format!("{name}-output.safetensors")));
        job["output"] = output.clone();
        self.ours.job(&self.jobs.write(name, &job)?)?;
        job["compare"] = output;
        job["modes"] = modes(found.rivals.iter().map(|rival| rival.mode));
        let outcome = self.theirs.job(&self.jobs.write(name, &job)?)?;
        found.judge(&outcome, tolerance)
    }

    /// Runs the pairs.
    fn measure(&self, found: &mut Found) -> Result<()> {
        let row = found.row;
        let fit = |rival: &&mut Rival| rival.trouble.is_none();
        let mut rivals: Vec<&mut Rival> = found.rivals.iter_mut().filter(fit).collect();
        let names: Vec<&str> = rivals.iter().map(|rival| rival.mode).collect();
        for number in 0..self.pairs {
            eprintln!("{}: pair {} of {}", row.name, number + 1, self.pairs);
            let ours = || self.our_figure(row);
            let (mine, others) = pair(number, ours, || self.their_figures(row, &names))?;
            for (rival, theirs) in rivals.iter_mut().zip(others) {
                rival.pairs.push(Pair { ours: mine, theirs });
            }
            let (ours, theirs) = pair(number, ours, ours)?;
            found.same.push(Pair { ours, theirs });
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

    /// The rivals' figures: of one fresh process for all, but of one each where memory is measured.
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

impl Found {
    /// Whether the command has to fail.
    pub fn failed(&self) -> bool {
        let differs = |rival: &Rival| matches!(rival.trouble, Some(Trouble::Differs(_)));
        self.failure.is_some() || self.rivals.iter().any(differs)
    }

    /// Takes in how far outputs are apart.
    fn judge(&mut self, outcome: &Outcome, tolerance: Tolerance) -> Result<()> {
        for rival in &mut self.rivals {
            rival.difference = outcome.difference(rival.mode);
            rival.trouble = match (outcome.error(rival.mode), rival.difference) {
                (Some(error), _) => Some(Trouble::CannotRun(error.to_owned())),
                (None, Some(difference)) => verdict(difference, tolerance).map(Trouble::Differs),
                (None, None) => Some(Trouble::CannotRun("it has no outputs".to_owned())),
            };
        }
        self.difference = outcome.difference("ours");
        let difference = self.difference.context("there is nothing to compare with")?;
        match verdict(difference, tolerance) {
            Some(text) => anyhow::bail!("inkdrop's {text}; it is not timed"),
            None => Ok(()),
        }
    }
}

/// What is wrong with outputs, if they are too far apart.
fn verdict(difference: Difference, tolerance: Tolerance) -> Option<String> {
    let (apart, most) = difference.against(tolerance);
    // Not `apart > most`, which a NaN would pass.
    let within = apart <= most;
    (!within).then(|| format!("outputs differ by {apart:.1e}, expected at most {most:.0e}"))
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn found(outcome: &str) -> (Found, Result<()>) {
        let row = Row::matching("forward/context/1").remove(0);
        let rival = |&mode: &&'static str| Rival {
            mode,
            difference: None,
            pairs: Vec::new(),
            trouble: None,
        };
        let rivals = row.modes().iter().map(rival).collect();
        let mut found = Found { row, difference: None, same: Vec::new(), rivals, failure: None };
        let outcome = Outcome::parse(&format!("{{\"modes\": {{{outcome}}}}}")).unwrap();
        let judged = found.judge(&outcome, Tolerance::Scaled(2e-5));
        (found, judged)
    }

    fn mode(name: &str, absolute: &str) -> String {
        let rest = "\"largest\": 0.5, \"each\": 0, \"relative\": 0";
        format!("\"{name}\": {{\"difference\": {{\"absolute\": {absolute}, {rest}}}}}")
    }

    #[test]
    fn a_rival_that_differs_or_cannot_run_is_left_out() {
        let error = "\"compile\": {\"error\": \"no compiler\"}";
        let modes = [
            mode("ours", "1e-6"),
            mode("eager", "0"),
            mode("channels_last", "1e-4"),
            error.to_owned(),
        ];
        let (found, judged) = found(&modes.join(", "));
        assert!(judged.is_ok());
        assert!(found.rivals[0].trouble.is_none());
        assert!(matches!(found.rivals[1].trouble, Some(Trouble::Differs(_))));
        assert!(matches!(found.rivals[2].trouble, Some(Trouble::CannotRun(_))));
        assert!(found.failed(), "different outputs are a failure, a missing compiler is not");
    }

    #[test]
    fn a_row_whose_outputs_differ_is_not_timed() {
        for (ours, words) in [("3e-5", "3.0e-5"), ("null", "NaN")] {
            let (_, judged) = found(&[mode("ours", ours), mode("eager", "0")].join(", "));
            let text = judged.unwrap_err().to_string();
            assert!(text.contains(words) && text.contains("not timed"), "{text}");
        }
        let (_, judged) = found("\"eager\": {\"error\": \"out of memory\"}");
        assert!(judged.is_err(), "without a reference nothing is the same");
    }
}
