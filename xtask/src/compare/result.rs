//! What has a row shown: differences, pairs, and what kept baselines from being measured?

use anyhow::{Context, Result};

use super::outcome::{Difference, Outcome};
use super::pairs::Pair;
use super::rows::{Row, Tolerance};

/// What a row has shown.
#[derive(Debug)]
pub struct RowResult {
    /// The row.
    pub row: Row,
    /// How far inkdrop's outputs are from the reference's.
    pub difference: Option<Difference>,
    /// Ours compared with ours.
    pub same: Vec<Pair>,
    /// Ours against each baseline.
    pub baselines: Vec<Baseline>,
    /// Why nothing is measured, or no more than this.
    pub failure: Option<String>,
}

/// What a row has shown of a baseline.
#[derive(Debug)]
pub struct Baseline {
    /// Its name.
    pub mode: &'static str,
    /// How far its outputs are from the reference's.
    pub difference: Option<Difference>,
    /// The figures.
    pub pairs: Vec<Pair>,
    /// Why it is not measured.
    pub trouble: Option<Trouble>,
}

/// Why a baseline is not measured.
#[derive(Debug)]
pub enum Trouble {
    /// It computes something else.
    Differs(String),
    /// It cannot run, as a compiler that is missing.
    CannotRun(String),
}

impl RowResult {
    /// Whether the command has to fail.
    pub fn failed(&self) -> bool {
        let differs = |baseline: &Baseline| matches!(baseline.trouble, Some(Trouble::Differs(_)));
        self.failure.is_some() || self.baselines.iter().any(differs)
    }

    /// Takes in how far outputs are apart.
    pub fn judge(&mut self, outcome: &Outcome, tolerance: Tolerance) -> Result<()> {
        for baseline in &mut self.baselines {
            baseline.difference = outcome.difference(baseline.mode);
            baseline.trouble = match (outcome.error(baseline.mode), baseline.difference) {
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn result(outcome: &str) -> (RowResult, Result<()>) {
        let row = Row::matching("forward/context/1").remove(0);
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
        assert!(judged.is_err(), "without a reference nothing is the same");
    }
}
