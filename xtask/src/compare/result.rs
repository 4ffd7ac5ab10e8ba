//! The result of a row: differences, pairs, and the baselines that could not be measured.

use anyhow::{Context, Result};

use super::outcome::{Difference, Outcome};
use super::pairs::Pair;
use super::rows::{BenchRow, Tolerance};

/// The result of a row.
#[derive(Debug)]
pub struct RowResult {
    /// The row.
    pub row: BenchRow,
    /// Difference between the outputs of inkdrop and of the reference.
    pub difference: Option<Difference>,
    /// Pairs of inkdrop against itself (A/A).
    pub same: Vec<Pair>,
    /// The result for each baseline.
    pub baselines: Vec<Baseline>,
    /// The error that stopped this row.
    pub failure: Option<String>,
}

/// The result of a row for one baseline.
#[derive(Debug)]
pub struct Baseline {
    /// Its name.
    pub mode: &'static str,
    /// Difference between its outputs and those of the reference.
    pub difference: Option<Difference>,
    /// The measured pairs.
    pub pairs: Vec<Pair>,
    /// The reason if it is not measured.
    pub trouble: Option<Trouble>,
}

/// The reason why a baseline is not measured.
#[derive(Debug)]
pub enum Trouble {
    /// Its outputs differ from those of the reference.
    Differs(String),
    /// It cannot run, for example without a compiler.
    CannotRun(String),
}

impl RowResult {
    /// True if the command must fail.
    pub fn failed(&self) -> bool {
        let differs = |baseline: &Baseline| matches!(baseline.trouble, Some(Trouble::Differs(_)));
        self.failure.is_some() || self.baselines.iter().any(differs)
    }

    /// Stores the differences of the outputs. Returns an error if inkdrop's outputs are not within tolerance.
    pub fn judge(&mut self, outcome: &Outcome, tolerance: Tolerance) -> Result<()> {
        for baseline in &mut self.baselines {
            baseline.difference = outcome.difference(baseline.mode);
            baseline.trouble = match (outcome.error(baseline.mode), baseline.difference) {
                (Some(error), _) => Some(Trouble::CannotRun(error.to_owned())),
                (None, Some(difference)) => verdict(difference, tolerance).map(Trouble::Differs),
                (None, None) => Some(Trouble::CannotRun("it returned no outputs".to_owned())),
            };
        }
        self.difference = outcome.difference("ours");
        let difference =
            self.difference.context("the reference returned no outputs to compare with")?;
        match verdict(difference, tolerance) {
            Some(text) => anyhow::bail!("inkdrop's {text}; it is not timed"),
            None => Ok(()),
        }
    }
}

/// A message if the outputs are not within tolerance.
fn verdict(difference: Difference, tolerance: Tolerance) -> Option<String> {
    let (error, bound) = difference.error_and_bound(tolerance);
    // Not `error > bound`, which a NaN would pass.
    let within = error <= bound;
    (!within).then(|| format!("outputs differ by {error:.1e}, expected at most {bound:.0e}"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn result(outcome: &str) -> (RowResult, Result<()>) {
        let row = BenchRow::matching("forward/context/1").remove(0);
        let baseline = |&mode: &&'static str| Baseline {
            mode,
            difference: None,
            pairs: Vec::new(),
            trouble: None,
        };
        let baselines = row.modes().iter().map(baseline).collect();
        let mut result =
            RowResult { row, difference: None, same: Vec::new(), baselines, failure: None };
        let outcome = Outcome::parse(&format!("{{\"modes\": {{{outcome}}}}}")).unwrap();
        let judged = result.judge(&outcome, Tolerance::Scaled(2e-5));
        (result, judged)
    }

    fn mode(name: &str, absolute: &str) -> String {
        let rest = "\"largest\": 0.5, \"each\": 0, \"relative\": 0";
        format!("\"{name}\": {{\"difference\": {{\"absolute\": {absolute}, {rest}}}}}")
    }

    #[test]
    fn a_baseline_that_differs_or_cannot_run_is_left_out() {
        let error = "\"compile\": {\"error\": \"no compiler\"}";
        let modes = [
            mode("ours", "1e-6"),
            mode("eager", "0"),
            mode("channels_last", "1e-4"),
            error.to_owned(),
        ];
        let (result, judged) = result(&modes.join(", "));
        assert!(judged.is_ok());
        assert!(result.baselines[0].trouble.is_none());
        assert!(matches!(result.baselines[1].trouble, Some(Trouble::Differs(_))));
        assert!(matches!(result.baselines[2].trouble, Some(Trouble::CannotRun(_))));
        assert!(result.failed(), "different outputs are a failure, a missing compiler is not");
    }

    #[test]
    fn a_row_whose_outputs_differ_is_not_timed() {
        for (ours, words) in [("3e-5", "3.0e-5"), ("null", "NaN")] {
            let (_, judged) = result(&[mode("ours", ours), mode("eager", "0")].join(", "));
            let text = judged.unwrap_err().to_string();
            assert!(text.contains(words) && text.contains("not timed"), "{text}");
        }
        let (_, judged) = result("\"eager\": {\"error\": \"out of memory\"}");
        assert!(judged.is_err(), "a reference is required");
    }
}
