//! What a finished run leaves: a model for each average.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use inkdrop_train::{LogLine, RunFolder, Trainer};
use serde_json::json;

use crate::config::RunConfig;
use crate::model::metadata::ModelMetadata;

/// Writes final.safetensors, the weights that the first rule has averaged with all that made
/// them, and final-RULE.safetensors of each further rule.
pub fn finish(
    trainer: &Trainer,
    folder: &RunFolder,
    metadata: &ModelMetadata,
    config: &RunConfig,
) -> Result<Vec<PathBuf>> {
    let curve = loss_curve(folder)?;
    let mut written = Vec::new();
    for (number, &rule) in config.train.ema.iter().enumerate() {
        let mut weights = trainer.averaged(rule).context("the average of a rule")?;
        metadata.write(&mut weights)?;
        let training = json!({
            "inkdrop": env!("CARGO_PKG_VERSION"),
            "data": config.data,
            "train": config.train,
            "average": rule,
            "began_with": trainer.origin(),
            "steps": trainer.step(),
            "loss_curve": curve,
        });
        weights.set_metadata("training", &training)?;
        let path = match number {
            0 => folder.finished(),
            _ => folder.finished_average(rule),
        };
        weights.save(&path)?;
        written.push(path);
    }
    Ok(written)
}

/// At most 200 points [step, loss] of the log, each the mean of its stretch.
fn loss_curve(folder: &RunFolder) -> Result<Vec<(usize, f64)>> {
    let log = fs::read_to_string(folder.log())?;
    let lines: Vec<LogLine> =
        log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let stretch = lines.len().div_ceil(200).max(1);
    let point = |lines: &[LogLine]| {
        let mean = lines.iter().map(|line| line.loss).sum::<f64>() / lines.len() as f64;
        (lines.last().map_or(0, |line| line.step), (mean * 1e5).round() / 1e5)
    };
    Ok(lines.chunks(stretch).map(point).collect())
}
