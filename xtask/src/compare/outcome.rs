//! The result that a benchmark program prints as JSON in its last line.

use anyhow::{Context, Result};
use serde_json::Value;

use super::rows::Tolerance;
use super::statistics::Summary;

/// The JSON result of a benchmark program.
#[derive(Debug)]
pub struct Outcome(Value);

impl Outcome {
    /// Parses the last line of JSON in the program's output.
    pub fn parse(text: &str) -> Result<Self> {
        let line = text.lines().rfind(|line| line.starts_with('{'));
        let line =
            line.context("the program printed no JSON, expected its figures in the last line")?;
        Ok(Self(serde_json::from_str(line).with_context(|| format!("not JSON: {line}"))?))
    }

    /// A number that does not belong to a mode: `peak_mib`, `threads`, `gflop`.
    pub fn number(&self, name: &str) -> Option<f64> {
        self.0.get(name)?.as_f64()
    }

    /// Versions of the libraries, as text.
    pub fn versions(&self) -> String {
        let Some(versions) = self.0.get("versions").and_then(Value::as_object) else {
            return String::new();
        };
        let words = versions.iter().map(|(name, version)| {
            format!("{name} {}", version.as_str().unwrap_or("of unknown version"))
        });
        words.collect::<Vec<_>>().join(", ")
    }

    /// The error of a mode that cannot run.
    pub fn error(&self, mode: &str) -> Option<&str> {
        self.mode(mode)?.get("error")?.as_str()
    }

    /// Median time of a mode, in seconds.
    pub fn seconds(&self, mode: &str) -> Option<f64> {
        let seconds = self.mode(mode)?.get("seconds")?.as_array()?;
        let seconds: Option<Vec<f64>> = seconds.iter().map(Value::as_f64).collect();
        Summary::of(&seconds?).map(|summary| summary.median)
    }

    /// Difference between the outputs of a mode and of the reference.
    pub fn difference(&self, mode: &str) -> Option<Difference> {
        let result = self.mode(mode)?.get("difference")?;
        // JSON has no NaN: null stands for it.
        let number = |name| result.get(name).and_then(Value::as_f64).unwrap_or(f64::NAN);
        let [absolute, largest, each, relative] =
            ["absolute", "largest", "each", "relative"].map(number);
        Some(Difference { absolute, largest, each, relative })
    }

    fn mode(&self, mode: &str) -> Option<&Value> {
        self.0.get("modes")?.get(mode)
    }
}

/// Largest difference over all outputs; NaN if any output is NaN.
#[derive(Debug, Clone, Copy)]
pub struct Difference {
    /// Largest |Δ|.
    pub absolute: f64,
    /// Largest |reference|.
    pub largest: f64,
    /// Largest |Δ| / max(1, |reference|).
    pub each: f64,
    /// Largest |Δ| / |reference|.
    pub relative: f64,
}

impl Difference {
    /// The error in the tolerance's units, and its bound.
    pub fn error_and_bound(&self, tolerance: Tolerance) -> (f64, f64) {
        match tolerance {
            Tolerance::Scaled(most) => (self.absolute / self.largest.max(1.0), most),
            Tolerance::Each(most) => (self.each, most),
            Tolerance::Relative(most) => (self.relative, most),
            Tolerance::Absolute(most) => (self.absolute, most),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const TEXT: &str = "a warning\n{\"modes\": {\"eager\": {\"seconds\": [3, 1, 2], \"difference\": \
        {\"absolute\": 3e-5, \"largest\": 4.0, \"each\": 2e-5, \"relative\": null}}, \
        \"compile\": {\"error\": \"no compiler\"}}, \"peak_mib\": 7.5, \"versions\": {\"numpy\": \"2\"}}\n";

    #[test]
    fn the_last_line_is_read() {
        let outcome = Outcome::parse(TEXT).unwrap();
        assert_eq!(outcome.seconds("eager"), Some(2.0));
        assert_eq!(outcome.error("compile"), Some("no compiler"));
        assert_eq!((outcome.seconds("compile"), outcome.error("eager")), (None, None));
        assert_eq!(outcome.number("peak_mib"), Some(7.5));
        assert_eq!(outcome.versions(), "numpy 2");
        assert!(Outcome::parse("nothing\n").is_err());
    }

    #[test]
    fn differences_are_in_the_tolerances_units() {
        let difference = Outcome::parse(TEXT).unwrap().difference("eager").unwrap();
        let within = |tolerance| {
            let (error, bound) = difference.error_and_bound(tolerance);
            error <= bound
        };
        assert!(within(Tolerance::Scaled(1e-5)) && !within(Tolerance::Scaled(7e-6)));
        assert!(within(Tolerance::Each(2e-5)) && !within(Tolerance::Absolute(2e-5)));
        assert!(!within(Tolerance::Relative(1.0)), "NaN is never within a tolerance");
    }
}
