//! Metadata entries of a file: ours, and those of other programs with the same names.

use inkdrop_checkpoint::StateDict;
use inkdrop_process::DiffusionConfig;
use inkdrop_unet::ModelConfig;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::Result;

/// Metadata entry of the files that inkdrop writes: its version.
pub const MARK: &str = "inkdrop";

/// The metadata entries of a model.
pub const METADATA: [&str; 8] =
    [MARK, "model", "process", "contexts", "classes", "sampling", "condition", "depth"];

/// A metadata entry of ours. Other programs use the same names for other things: in a file without
/// our mark, an entry of another form is ignored, as are contexts and classes without a network config.
///
/// # Errors
/// The file has our mark, and the entry is invalid.
pub fn stored_metadata<T: DeserializeOwned>(weights: &StateDict, key: &str) -> Result<Option<T>> {
    if weights.metadata_text(MARK).is_some() {
        return Ok(weights.metadata(key)?);
    }
    let ours = match key {
        "model" | "process" => true,
        _ => matches!(weights.metadata::<ModelConfig>("model"), Ok(Some(_))),
    };
    Ok(if ours { weights.metadata(key).unwrap_or_default() } else { None })
}

/// The metadata entries with a name of ours that [`stored_metadata`] ignores.
pub fn ignored_metadata(weights: &StateDict) -> Vec<&'static str> {
    let read = |key: &str| match key {
        "model" => matches!(stored_metadata::<ModelConfig>(weights, key), Ok(None)),
        "process" => matches!(stored_metadata::<DiffusionConfig>(weights, key), Ok(None)),
        _ => matches!(stored_metadata::<Value>(weights, key), Ok(None)),
    };
    let ours = METADATA.into_iter().filter(|key| *key != MARK).chain(["card", "training"]);
    ours.filter(|key| weights.metadata_text(key).is_some() && read(key)).collect()
}
