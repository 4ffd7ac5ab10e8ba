//! What can go wrong when two sets are compared.

use std::path::PathBuf;

use inkdrop_torch::TorchError;
use inkdrop_torch::tch::TchError;

/// Everything a user of this crate can cause, named with what was given and what was expected.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EvalError {
    /// A set has too few rows for what is to be computed.
    #[error("{what}: {given} rows, expected at least {expected}; give more images")]
    Few {
        /// What was to be computed.
        what: &'static str,
        /// Rows of the smaller set.
        given: i64,
        /// How many it takes.
        expected: i64,
    },
    /// The rows of two sets are of different lengths.
    #[error(
        "one set has rows of {a} numbers, the other of {b}: expected images of one size, or features of one extractor"
    )]
    Widths {
        /// Numbers in a row of the first set.
        a: i64,
        /// Numbers in a row of the second set.
        b: i64,
    },
    /// A tensor has another shape than it must.
    #[error("{what} has shape {given:?}, expected {expected}")]
    Shape {
        /// Which tensor.
        what: &'static str,
        /// Its shape.
        given: Vec<i64>,
        /// What it must be.
        expected: &'static str,
    },
    /// A number that is none.
    #[error("row {row} holds NaN or infinity: expected finite numbers; leave that image out")]
    NotFinite {
        /// The first such row.
        row: i64,
    },
    /// A setting that cannot be.
    #[error("{field} {given}: expected {expected}")]
    Setting {
        /// Its name.
        field: &'static str,
        /// Its value.
        given: String,
        /// What it can be.
        expected: &'static str,
    },
    /// A feature extractor that cannot be read or does not do what it must.
    #[error("extractor {}: {problem}", path.display())]
    Extractor {
        /// Its file.
        path: PathBuf,
        /// What happened, what was expected, what to do.
        problem: String,
    },
    /// libtorch failed.
    #[error(transparent)]
    Torch(#[from] TorchError),
}

impl From<TchError> for EvalError {
    fn from(error: TchError) -> Self {
        Self::Torch(error.into())
    }
}
