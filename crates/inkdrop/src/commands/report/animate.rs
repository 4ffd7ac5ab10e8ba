//! An animation of the denoising by a finished model.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use inkdrop_report::Animation;
use inkdrop_torch::tch::{Device, Kind};

use crate::model::condition::Condition;
use crate::model::metadata::{Build, Model, ModelMetadata};
use crate::model::overrides::ModelOverrides;
use crate::sampling;
use crate::sampling::animation::Of;
use crate::sampling::guidance::Guidance;
use crate::sampling::session::{Conditions, SamplingSession};

/// Images per row, and maximum number of rows.
const COLUMNS: usize = 5;
const ROWS: usize = 6;

/// Denoises some images with the model of a finished run, by DDIM.
///
/// - steps: DDIM steps; at most the number of timesteps of the process
pub fn denoising(run: &Path, steps: usize, device: Device) -> Result<Animation> {
    let path = run.join("final.safetensors");
    let name = path.to_str().context("the run's path is not UTF-8")?;
    let model = Model::find(name, &ModelOverrides::default())?;
    let build = Build { device, torso: Kind::Float, ..Build::plain() };
    let (network, process) = model.build(&build)?;
    let steps = steps.min(process.schedule().num_timesteps());
    let (names, conditions) = conditions(&model.metadata)?;
    let session = SamplingSession {
        network: network.as_ref(),
        process: &process,
        metadata: &model.metadata,
        guidance: &Guidance::none(),
        conditions: Conditions::Each(&conditions),
    };
    let file = std::env::temp_dir().join(format!("inkdrop-report-{}.apng", std::process::id()));
    let mut animation = sampling::animation::Animation::new(file.clone(), Of::X, names);
    session.draft(conditions.len(), steps, |state| {
        animation.record(state, state.index, state.count);
    })?;
    animation.write()?;
    let bytes = fs::read(&file).with_context(|| format!("cannot read {}", file.display()));
    fs::remove_file(&file).ok();
    let caption = format!("{steps} steps of DDIM from noise, seed 0, by final.safetensors");
    Ok(Animation { bytes: bytes?, media: "image/apng", caption })
}

/// A row of images for each of the first classes or contexts, if there are any.
fn conditions(metadata: &ModelMetadata) -> Result<(Vec<String>, Vec<Condition>)> {
    let names: Vec<String> = metadata.conditions().into_iter().take(ROWS).collect();
    if names.is_empty() {
        return Ok((names, vec![Condition::none(metadata); COLUMNS * COLUMNS]));
    }
    let rows =
        names.iter().map(|name| Condition::class(metadata, name)).collect::<Result<Vec<_>>>()?;
    let rows = rows.into_iter().flat_map(|row| vec![row; COLUMNS]).collect();
    Ok((names, rows))
}
