//! Errors of the comparison of two sets.

use std::path::PathBuf;

use inkdrop_torch::TorchError;
use inkdrop_torch::tch::TchError;

/// Error of the comparison of two sets of images.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EvalError {
    /// A set has too few images for the metric.
    #[error("{what}: {given} images, expected at least {expected}")]
    TooFewImages {
        /// The metric.
        what: &'static str,
        /// Images of the smaller set.
        given: i64,
        /// Minimum number of images.
        expected: i64,
    },
    /// The images or features of the two sets have different sizes.
    #[error(
        "one set has {a} values per image, the other {b}: expected images of one size, or features of one extractor"
    )]
    DifferentSizes {
        /// Values per image of the first set.
        a: i64,
        /// Values per image of the second set.
        b: i64,
    },
    /// A tensor has an invalid shape.
    #[error("{what} has shape {given:?}, expected {expected}")]
    Shape {
        /// Name of the tensor.
        what: &'static str,
        /// Its shape.
        given: Vec<i64>,
        /// Expected shape.
        expected: &'static str,
    },
    /// A value is NaN or infinite.
    #[error("row {row} contains NaN or infinity: expected finite values; remove that image")]
    NotFinite {
        /// Index of the first such image.
        row: i64,
    },
    /// A setting has an invalid value.
    #[error("{field} {given}: expected {expected}")]
    Setting {
        /// Its name.
        field: &'static str,
        /// Its value.
        given: String,
        /// Expected values.
        expected: &'static str,
    },
    /// The feature extractor cannot be loaded, or it fails.
    #[error("extractor {}: {problem}", path.display())]
    Extractor {
        /// Its file.
        path: PathBuf,
        /// The problem, and the expected input or output.
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
