//! Comparison of a result with that of the PyTorch program: errors, tolerances and the verdict.

use std::fmt;

use anyhow::{Result, ensure};
use inkdrop_torch::tch::{Kind, Tensor};

/// The comparison of a group of tensors: a line of the report.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// The case's file name without extension.
    pub case: String,
    /// Name of the compared tensors.
    pub what: String,
    /// The outcome.
    pub status: Status,
}

impl Comparison {
    /// The same with a note behind the name of the tensors.
    pub(crate) fn noted(self, note: &str) -> Self {
        Self { what: self.what + note, ..self }
    }
}

/// Outcome of a comparison.
#[derive(Debug, Clone, PartialEq)]
pub enum Status {
    /// The tensors were compared.
    Compared(Distance),
    /// This kind and family are not covered yet.
    NotCovered,
    /// The kind is unknown.
    UnknownKind,
}

/// Errors between two groups of tensors.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Distance {
    /// Largest |ours − theirs|.
    pub absolute: f64,
    /// Largest |ours − theirs| / |theirs|.
    pub relative: f64,
    /// Largest error, in the units of the tolerance.
    pub error: f64,
    /// Bound on the error.
    pub tolerance: f64,
}

/// Bound on an error.
#[derive(Debug, Clone, Copy)]
pub enum Tolerance {
    /// |Δ| ≤ tolerance · max(1, max|ref|) over the tensor.
    Scaled(f64),
    /// |Δ| ≤ tolerance · max|ref| over the tensor.
    OfLargest(f64),
    /// |Δ| ≤ tolerance · |ref| for every entry.
    Relative(f64),
    /// |Δ| ≤ tolerance.
    Absolute(f64),
    /// Bitwise equality.
    Exact,
}

impl Distance {
    /// Compares tensors entry by entry in f64; inf equals inf of the same sign.
    ///
    /// # Errors
    /// The shapes differ.
    pub fn between(ours: &Tensor, theirs: &Tensor, tolerance: Tolerance) -> Result<Self> {
        ensure!(
            ours.size() == theirs.size(),
            "shape {:?}, expected {:?} as in PyTorch",
            ours.size(),
            theirs.size()
        );
        let (ours, theirs) = (values(ours)?, values(theirs)?);
        let finite = theirs.iter().filter(|v| v.is_finite());
        let largest = finite.fold(0f64, |most, v| most.max(v.abs()));
        let mut distance = Self { absolute: 0.0, relative: 0.0, error: 0.0, tolerance: 0.0 };
        for (&a, &b) in ours.iter().zip(&theirs) {
            let absolute = if a == b { 0.0 } else { (a - b).abs() };
            let absolute = if absolute.is_nan() { f64::INFINITY } else { absolute };
            let relative = if absolute == 0.0 { 0.0 } else { absolute / b.abs() };
            distance.absolute = distance.absolute.max(absolute);
            distance.relative = distance.relative.max(relative);
        }
        (distance.error, distance.tolerance) = match tolerance {
            Tolerance::Scaled(tolerance) => (distance.absolute / largest.max(1.0), tolerance),
            Tolerance::OfLargest(tolerance) => (distance.absolute / largest, tolerance),
            Tolerance::Relative(tolerance) => (distance.relative, tolerance),
            Tolerance::Absolute(tolerance) => (distance.absolute, tolerance),
            Tolerance::Exact => (distance.absolute, 0.0),
        };
        Ok(distance)
    }

    /// Joins two distances: the larger of each error.
    pub fn worse(self, other: Self) -> Self {
        Self {
            absolute: self.absolute.max(other.absolute),
            relative: self.relative.max(other.relative),
            error: self.error.max(other.error),
            tolerance: self.tolerance.max(other.tolerance),
        }
    }

    /// True if the error is within the tolerance.
    pub fn ok(&self) -> bool {
        self.error <= self.tolerance
    }
}

fn values(tensor: &Tensor) -> Result<Vec<f64>> {
    Ok(tensor.f_to_kind(Kind::Double)?.f_contiguous()?.f_view(-1)?.try_into()?)
}

impl Comparison {
    /// True if the tensors were compared and are within the tolerance.
    pub fn ok(&self) -> bool {
        matches!(&self.status, Status::Compared(distance) if distance.ok())
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { case, what, .. } = self;
        match &self.status {
            Status::Compared(d) => {
                let verdict = if d.ok() { "ok" } else { "FAIL" };
                let Distance { absolute, relative, tolerance, .. } = d;
                write!(
                    f,
                    "{case:<28} {what:<22} {absolute:7.1e} {relative:7.1e} {tolerance:5.0e} {verdict}"
                )
            }
            Status::NotCovered => write!(f, "{case:<28} {what:<26} not covered yet"),
            Status::UnknownKind => write!(f, "{case:<28} {what:<26} unknown kind FAIL"),
        }
    }
}
