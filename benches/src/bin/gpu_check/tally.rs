//! Counts passed and failed checks.

use std::fmt::Write;

use inkdrop_torch::tch::{Kind, Tensor};

use crate::Result;

/// Counts checks and prints a line for each.
#[derive(Default)]
pub struct Tally {
    good: usize,
    wrong: Vec<String>,
}

impl Tally {
    /// Adds a check and prints its line. NaN is a failure.
    pub fn add(&mut self, case: &str, what: &str, bound: f64, result: Result<CheckResult>) {
        let mut line = format!("{case:<18} {what:<34} ");
        let good = match result {
            Ok(CheckResult::Error(error)) => {
                let good = error <= bound;
                let verdict = if good { "ok" } else { "WRONG" };
                let _ = write!(line, "{error:9.2e} (at most {bound:.0e})  {verdict}");
                good
            }
            Ok(CheckResult::Skipped(reason)) => {
                println!("{line}skipped: {reason}");
                return;
            }
            Err(error) => {
                let _ = write!(line, "FAILED: {error}");
                false
            }
        };
        println!("{line}");
        match good {
            true => self.good += 1,
            false => self.wrong.push(format!("{case}: {what}")),
        }
    }

    /// Prints the number of passed checks and the names of the failed ones.
    pub fn sum_up(&self) {
        println!("\n{} checks passed, {} failed", self.good, self.wrong.len());
        self.wrong.iter().for_each(|what| println!("  WRONG  {what}"));
    }

    /// True if there was at least one check and all passed.
    pub fn is_good(&self) -> bool {
        self.good > 0 && self.wrong.is_empty()
    }
}

/// Result of a check.
pub enum CheckResult {
    /// Largest difference, relative to the largest value.
    Error(f64),
    /// Skipped, with the reason.
    Skipped(String),
}

/// max|a − b| / max|b| in f64 on b's device; NaN or infinite if a value is not finite.
pub fn difference(a: &Tensor, b: &Tensor) -> Result<f64> {
    let b = b.f_to_kind(Kind::Double)?;
    let a = a.f_to_device(b.device())?.f_to_kind(Kind::Double)?;
    if a.size() != b.size() {
        return Err(format!("shape {:?}, expected {:?}", a.size(), b.size()).into());
    }
    let scale = f64::try_from(b.f_abs()?.f_max()?)?;
    let error = f64::try_from(a.f_sub(&b)?.f_abs()?.f_max()?)?;
    Ok(if error == 0.0 { 0.0 } else { error / scale })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn nan_is_a_failure() {
        let (one, nan) = (Tensor::from_slice(&[1.0]), Tensor::from_slice(&[f64::NAN]));
        assert_eq!(difference(&one, &one).unwrap(), 0.0);
        for (a, b) in [(&nan, &one), (&one, &nan), (&nan, &nan)] {
            let mut tally = Tally::default();
            tally.add("case", "what", 1.0, difference(a, b).map(CheckResult::Error));
            assert!(!tally.is_good());
        }
    }

    #[test]
    fn nothing_checked_is_not_good() {
        let mut tally = Tally::default();
        tally.add("case", "what", 1.0, Ok(CheckResult::Skipped("a reason".to_string())));
        assert!(!tally.is_good());
    }
}
