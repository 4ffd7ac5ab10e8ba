//! Post-hoc EMA of a finished run.

use std::path::Path;

use inkdrop_checkpoint::StateDict;
use inkdrop_train::{EmaDecay, RunFolder};
use serde_json::Value;

use crate::Result;
use crate::error::{Context, ensure};
use crate::model::METADATA;

/// Reconstructs the average of a width from the checkpoints of a finished run, whose config has averages
/// `power=…` in `train.ema` (Karras et al. 2024, section 3). Returns the weights with the metadata of
/// the run's model file.
///
/// - width: standard deviation of the average as a share of the run, above 0 and below 0.288
/// - step: of the average; that of the newest checkpoint if `None`
///
/// # Errors
/// The run is not finished, its checkpoints have no such averages, or the width is out of range.
pub fn posthoc_ema(run: impl AsRef<Path>, width: f64, step: Option<usize>) -> Result<StateDict> {
    let run = run.as_ref();
    let folder = RunFolder::read(run)?;
    ensure!(
        folder.finished().is_file(),
        "{} is not finished: a post-hoc average needs its final.safetensors",
        run.display()
    );
    let mut checkpoints: Vec<_> = folder.checkpoints_newest_first().collect();
    checkpoints.reverse();
    let mut weights = inkdrop_train::posthoc_ema(&checkpoints, width, step)
        .with_context(|| run.display().to_string())?;
    let model = StateDict::open(&folder.finished())?;
    for key in METADATA {
        if let Some(text) = model.metadata_text(key) {
            weights.set_metadata_text(key, text.to_string());
        }
    }
    if let Some(Value::Object(mut training)) = model.metadata("training")? {
        let average = serde_json::to_value(EmaDecay::Power { width })?;
        training.insert("average".to_string(), average);
        if let Some(step) = step {
            training.insert("steps".to_string(), step.into());
        }
        weights.set_metadata("training", &training)?;
    }
    Ok(weights)
}
