//! The denoising by a finished model, as a moving picture.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use inkdrop_report::Animation;
use inkdrop_torch::tch::{Device, Kind};

use crate::making::film::{Film, Of};
use crate::making::guide::Guide;
use crate::making::meter::Meter;
use crate::making::request::{Request, draft};
use crate::model::card::{Build, Card, Model};
use crate::model::context::Row;
use crate::model::foreign::Foreign;

/// Images in a row, and the most rows.
const COLUMNS: usize = 5;
const ROWS: usize = 6;

/// Denoises some images with the model of a finished run, by DDIM.
///
/// - steps: of the sampler; no more than the process has are taken
pub fn denoising(run: &Path, steps: usize, device: Device) -> Result<Animation> {
    let path = run.join("final.safetensors");
    let name = path.to_str().context("the run's path is no UTF-8")?;
    let model = Model::find(name, &Foreign::default())?;
    let build = Build { device, torso: Kind::Float, ..Build::plain() };
    let (network, process) = model.build(&build)?;
    let steps = steps.min(process.schedule().steps());
    let (names, rows) = rows(&model.card)?;
    let config = draft(rows.len(), steps);
    let guide = Guide::none();
    let request =
        Request { network: network.as_ref(), process: &process, card: &model.card, guide: &guide };
    let file = std::env::temp_dir().join(format!("inkdrop-report-{}.apng", std::process::id()));
    let mut film = Film::new(file.clone(), Of::X, names);
    let mut meter = Meter::hidden();
    request.sample(&config, &|image| &rows[image], &mut film, &mut meter, |_, _| Ok(()))?;
    film.write()?;
    let bytes = fs::read(&file).with_context(|| format!("cannot read {}", file.display()));
    fs::remove_file(&file).ok();
    let caption = format!("{steps} steps of DDIM from noise, seed 0, by final.safetensors");
    Ok(Animation { bytes: bytes?, media: "image/apng", caption })
}

/// What the images are asked to be: a row for each of the first classes or contexts, if there are any.
fn rows(card: &Card) -> Result<(Vec<String>, Vec<Row>)> {
    let names: Vec<String> = card.conditions().into_iter().take(ROWS).collect();
    if names.is_empty() {
        return Ok((names, vec![Row::none(card); COLUMNS * COLUMNS]));
    }
    let rows = names.iter().map(|name| Row::class(card, name)).collect::<Result<Vec<_>>>()?;
    let rows = rows.into_iter().flat_map(|row| vec![row; COLUMNS]).collect();
    Ok((names, rows))
}
