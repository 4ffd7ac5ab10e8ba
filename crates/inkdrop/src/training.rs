//! Training runs: start or resume, training loop, final models.

pub mod init;
pub mod progress;

use std::path::PathBuf;

use anyhow::{Context, Result};
use inkdrop_train::{RunFolder, Trainer};
use serde_json::json;

use crate::config::RunConfig;
use crate::model::metadata::ModelMetadata;

/// Number of points of the loss curve in a model file.
const CURVE_POINTS: usize = 200;

/// Writes final.safetensors, the EMA weights with the first decay and the metadata of the run, and
/// final-DECAY.safetensors for each further decay.
pub fn finish(
    trainer: &Trainer,
    folder: &RunFolder,
    metadata: &ModelMetadata,
    config: &RunConfig,
) -> Result<Vec<PathBuf>> {
    let curve = rounded(trainer.loss_curve().downsampled(CURVE_POINTS));
    let mut written = Vec::new();
    for (number, &decay) in config.train.ema.iter().enumerate() {
        let mut weights = trainer.ema_weights(decay).context("the EMA of a decay of train.ema")?;
        metadata.write(&mut weights)?;
        let training = json!({
            "inkdrop": env!("CARGO_PKG_VERSION"),
            "data": config.data,
            "train": config.train,
            "average": decay,
            "began_with": trainer.origin(),
            "steps": trainer.step(),
            "loss_curve": curve,
        });
        weights.set_metadata("training", &training)?;
        let path = match number {
            0 => folder.finished(),
            _ => folder.finished_average(decay),
        };
        weights.save(&path)?;
        written.push(path);
    }
    Ok(written)
}

/// Rounds the losses to five decimals.
fn rounded(curve: Vec<(usize, f64)>) -> Vec<(usize, f64)> {
    curve.into_iter().map(|(step, loss)| (step, (loss * 1e5).round() / 1e5)).collect()
}
