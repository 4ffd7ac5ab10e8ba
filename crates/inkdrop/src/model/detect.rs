//! Detection of the network of a file from keys and shapes.

use inkdrop_checkpoint::StateDict;
use inkdrop_unet::{DetectError, DetectedArchitecture, FAMILIES, ModelConfig, Shapes};

use crate::Error;
use crate::error::invalid;

/// Detects the architecture of weights. Tensors of unsupported dtypes take part if it is not detected
/// without them: then they belong to the network.
pub fn detect(weights: &StateDict) -> Result<DetectedArchitecture, DetectError> {
    let shapes = |unsupported: bool| -> Shapes {
        let others = weights.unsupported().filter(|_| unsupported);
        let others = others.map(|(key, tensor)| (key, tensor.shape.clone()));
        weights.iter().map(|(key, tensor)| (key, tensor.size())).chain(others).collect()
    };
    ModelConfig::detect(&shapes(false)).or_else(|_| ModelConfig::detect(&shapes(true)))
}

/// The error for weights of an unknown network: what was tried, and how their keys begin.
pub fn unknown(name: &str, weights: &StateDict, error: &DetectError) -> Error {
    if matches!(error, DetectError::Unsupported(_)) {
        return invalid!("{name}: {error}");
    }
    let keys = weights.iter().map(|(key, _)| key.split_inclusive('.').next().unwrap_or(key));
    let mut starts: Vec<&str> = Vec::new();
    for start in keys {
        if starts.last() != Some(&start) {
            starts.push(start); // keys are sorted
        }
    }
    let more = if starts.len() > 8 { ", …" } else { "" };
    starts.truncate(8);
    let keys = match starts.is_empty() {
        true => "it has no tensors".to_string(),
        false => format!("its keys begin with {}{more}", starts.join(", ")),
    };
    invalid!(
        "{name} has no network config in its metadata, and {error} ({keys}; tried the families {} below every prefix): give --config PRESET|FILE, and --part PREFIX where the network lies below one",
        FAMILIES.join(", ")
    )
}
