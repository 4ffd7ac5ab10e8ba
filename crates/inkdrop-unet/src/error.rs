//! Errors of configs and of building networks.

use std::fmt::Display;

use inkdrop_torch::TorchError;

/// An invalid config.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A field has an invalid value.
    #[error("{field} {given} {problem}")]
    Field {
        /// The config's field.
        field: &'static str,
        /// Its value.
        given: String,
        /// The problem, and the expected value.
        problem: String,
    },
}

/// Error of building a network.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The config is invalid.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// libtorch could not allocate it.
    #[error(transparent)]
    Torch(#[from] TorchError),
}

impl ConfigError {
    pub(crate) fn field(
        field: &'static str,
        given: impl Display,
        problem: impl Into<String>,
    ) -> Self {
        Self::Field { field, given: given.to_string(), problem: problem.into() }
    }

    pub(crate) fn at_least(field: &'static str, given: i64, least: i64) -> Result<(), Self> {
        Self::within(field, given, least, 1 << 16)
    }

    pub(crate) fn within(
        field: &'static str,
        given: i64,
        least: i64,
        most: i64,
    ) -> Result<(), Self> {
        if (least..=most).contains(&given) {
            return Ok(());
        }
        Err(Self::field(field, given, format!("is out of range: expected {least} to {most}")))
    }

    pub(crate) fn features(given: i64) -> Result<(), Self> {
        Self::within("features", given, 1, 1 << 14)
    }

    pub(crate) fn dropout(given: f64) -> Result<(), Self> {
        if (0.0..1.0).contains(&given) {
            return Ok(());
        }
        Err(Self::field("dropout", given, "is not a probability: expected 0 ≤ dropout < 1"))
    }

    /// From 1 to 16 levels.
    pub(crate) fn levels(field: &'static str, given: usize) -> Result<(), Self> {
        if (1..=16).contains(&given) {
            return Ok(());
        }
        Err(Self::field(
            field,
            format!("of {given} levels"),
            "is out of range: expected 1 to 16 levels",
        ))
    }
}
