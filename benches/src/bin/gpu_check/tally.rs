//! What was checked, and what of it was wrong.

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
    /// Takes the error of one check, none where it is left out for a reason; what is no number is wrong.
    pub fn take(&mut self, case: &str, what: &str, bound: f64, found: Result<Found>) {
        let mut line = format!("{case:<18} {what:<34} ");
        let good = match found {
            Ok(Found::Error(error)) => {
                let good = error <= bound;
                let verdict = if good { "ok" } else { "WRONG" };
                let _ = write!(line, "{error:9.2e} (at most {bound:.0e})  {verdict}");
                good
            }
            Ok(Found::LeftOut(reason)) => {
                println!("{line}left out: {reason}");
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

    /// Prints how many checks were good, and which were not.
    pub fn sum_up(&self) {
        println!("\n{} checks are good, {} are not", self.good, self.wrong.len());
        self.wrong.iter().for_each(|what| println!("  WRONG  {what}"));
    }

    /// Whether there were checks and all were good.
    pub fn is_good(&self) -> bool {
        self.good > 0 && self.wrong.is_empty()
    }
}

/// What a check has found.
pub enum Found {
    /// The largest difference, relative to the largest number.
    Error(f64),
    /// It cannot be done here.
    LeftOut(String),
}

/// max|a − b| / max|b|, on b's device in f64; no number where a holds one that is not finite.
pub fn difference(a: &Tensor, b: &Tensor) -> Result<f64> {
    let b = b.f_to_kind(Kind::Double)?;
    let a = a.f_to_device(b.device())?.f_to_kind(Kind::Double)?;
    if a.size() != b.size() {
        return Err(format!("shape {:?} instead of {:?}", a.size(), b.size()).into());
    }
    let most = f64::try_from(b.f_abs()?.f_max()?)?;
    let apart = f64::try_from(a.f_sub(&b)?.f_abs()?.f_max()?)?;
    Ok(if apart == 0.0 { 0.0 } else { apart / most })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_number_is_wrong() {
        let (one, nan) = (Tensor::from_slice(&[1.0]), Tensor::from_slice(&[f64::NAN]));
        assert_eq!(difference(&one, &one).unwrap(), 0.0);
        for (a, b) in [(&nan, &one), (&one, &nan), (&nan, &nan)] {
            let mut tally = Tally::default();
            tally.take("case", "what", 1.0, difference(a, b).map(Found::Error));
            assert!(!tally.is_good());
        }
    }

    #[test]
    fn nothing_checked_is_not_good() {
        let mut tally = Tally::default();
        tally.take("case", "what", 1.0, Ok(Found::LeftOut("a reason".to_string())));
        assert!(!tally.is_good());
    }
}
