//! An animation of the denoising by a finished model.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use inkdrop::Pipeline;
use inkdrop::model::{Condition, ModelMetadata};
use inkdrop::report::Animation;
use inkdrop::torch::DeviceChoice;

use crate::output;
use crate::output::animation::Of;

/// Images per row, and maximum number of rows.
const COLUMNS: usize = 5;
const ROWS: usize = 6;

/// Denoises some images with the model of a finished run, by its sampler.
///
/// - steps: of DDIM, at most the number of timesteps if the process has them; models of few steps have
///   their own number
pub fn denoising(run: &Path, steps: usize, device: DeviceChoice) -> Result<Animation> {
    let pipeline = Pipeline::builder(run.join("final.safetensors")).device(device).build()?;
    let timesteps = pipeline.process().timesteps();
    let steps = timesteps.map_or(steps, |process| steps.min(process.timestep_map().len()));
    let (names, conditions) = conditions(pipeline.metadata())?;
    let count = conditions.len();
    let pipeline = pipeline.conditions(conditions).batch(count);
    let ModelMetadata { sampling, process, .. } = pipeline.metadata();
    let few = sampling.spacing.is_some() || process.consistency().is_some();
    let pipeline = if few { pipeline } else { pipeline.steps(steps) };
    let plan = pipeline.sampler_plan()?;
    let caption = format!(
        "{} steps of {} from noise, seed 0, by final.safetensors",
        plan.schedule.len(),
        plan.sampler
    );
    let file = std::env::temp_dir().join(format!("inkdrop-report-{}.apng", std::process::id()));
    let rounding = pipeline.rounding();
    let mut animation = output::animation::Animation::new(file.clone(), Of::X, names, rounding);
    for state in pipeline.trajectory(count)? {
        let state = state?;
        animation.record(&state, state.index, state.count);
    }
    animation.write()?;
    let bytes = fs::read(&file).with_context(|| format!("cannot read {}", file.display()));
    fs::remove_file(&file).ok();
    Ok(Animation { bytes: bytes?, media: "image/apng", caption })
}

/// A row of images for each of the first classes or contexts, if there are any.
fn conditions(metadata: &ModelMetadata) -> Result<(Vec<String>, Vec<Condition>)> {
    let names: Vec<String> = metadata.conditions().into_iter().take(ROWS).collect();
    if names.is_empty() {
        return Ok((names, vec![Condition::none(metadata); COLUMNS * COLUMNS]));
    }
    let rows =
        names.iter().map(|name| Condition::class(metadata, name)).collect::<Result<Vec<_>, _>>()?;
    let rows = rows.into_iter().flat_map(|row| vec![row; COLUMNS]).collect();
    Ok((names, rows))
}
