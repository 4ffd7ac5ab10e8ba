//! Weights that are trained in their own way.

use serde::{Deserialize, Serialize};

use super::AdamConfig;
use crate::TrainError;

/// Weights by name, with a rate or a decay of their own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupConfig {
    /// Their names, such as `out.2.bias`; `*` stands for any text, as in `*.bias`.
    pub names: Vec<String>,
    /// Factor of the learning rate; 0 keeps the weights as they are.
    #[serde(default = "one")]
    pub lr: f64,
    /// Their decay; without it, that of the others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight_decay: Option<f64>,
}

fn one() -> f64 {
    1.0
}

/// The factor of the rate and the decay of each weight: those of the first group that names it.
pub(super) fn assign(config: &AdamConfig, names: &[&str]) -> Result<Vec<(f64, f64)>, TrainError> {
    for pattern in config.groups.iter().flat_map(|group| &group.names) {
        if !names.iter().any(|name| matches(pattern, name)) {
            return Err(TrainError::Field {
                field: "train.groups.names",
                given: pattern.clone(),
                expected: "the name of a trained weight, with * for any text; \
                           `inkdrop inspect FILE` lists them",
            });
        }
    }
    let of = |name: &str| {
        let named = |group: &&GroupConfig| group.names.iter().any(|p| matches(p, name));
        match config.groups.iter().find(named) {
            Some(group) => (group.lr, group.weight_decay.unwrap_or(config.weight_decay)),
            None => (1.0, config.weight_decay),
        }
    };
    Ok(names.iter().map(|name| of(name)).collect())
}

/// Whether a name is as a pattern says.
fn matches(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((start, rest)) => name.strip_prefix(start).is_some_and(|name| {
            let mut ends = (0..=name.len()).filter(|&end| name.is_char_boundary(end));
            ends.any(|end| matches(rest, &name[end..]))
        }),
    }
}
