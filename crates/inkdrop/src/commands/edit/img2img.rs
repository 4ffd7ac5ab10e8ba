//! `inkdrop edit img2img`: variations of images.

use std::ops::Range;
use std::process::ExitCode;

use anyhow::{Result, ensure};
use inkdrop_data::Images;
use inkdrop_sampler::edit::img2img;
use inkdrop_sampler::{OnStep, Sampler};
use inkdrop_schedule::Path;
use serde::Serialize;

use super::editor::{self, Editor, Made, Ready};
use crate::making::sheet::Sheet;
use crate::options::{EditOptions, InputOptions, ModelOptions, WalkOptions};

/// Variations of images: noise them, and draw them again (SDEdit)
#[derive(Debug, clap::Args, Serialize)]
pub struct Arguments {
    #[serde(flatten)]
    #[command(flatten)]
    model: ModelOptions,
    #[serde(flatten)]
    #[command(flatten)]
    input: InputOptions,
    /// Share of the steps that is walked: above 0 (the image stays) to 1 (a new image)
    #[arg(long, default_value_t = 0.6)]
    strength: f64,
    /// How many variations of each image
    #[arg(short = 'n', long, default_value_t = 4)]
    variations: usize,
    #[serde(flatten)]
    #[command(flatten)]
    edit: EditOptions,
    #[serde(flatten)]
    #[command(flatten)]
    walk: WalkOptions,
}

pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let Arguments { model, input, strength, variations, edit, walk } = arguments;
    let (strength, variations) = (*strength, *variations);
    ensure!(
        strength > 0.0 && strength <= 1.0,
        "--strength {strength}: expected above 0 (the image stays) to 1 (a new image)"
    );
    let editor = Editor::new(edit, model, model.find()?)?;
    let schedule = editor.model.card.process.schedule.build()?;
    let sampler = walk.sampler()?;
    let levels = walk.levels(sampler, schedule.steps())?;
    let path = levels.path(&schedule)?;
    let given = input.read(&editor.model.card)?;
    edit.out.spare(&given.paths)?;
    let (images, count) = (given.images, given.names.len() * variations);
    let job = editor.job(("img2img", levels.to_string()), arguments, &[images.bytes()], count)?;
    let sheet = Sheet::of_rows(&given.names, &[("image", &images)], variations)?;
    editor.run(job, sheet, false, &mut Task { sampler, path, images, strength, variations })
}

struct Task {
    sampler: Sampler,
    path: Path,
    images: Images,
    strength: f64,
    variations: usize,
}

impl editor::Task for Task {
    fn steps(&self) -> usize {
        (self.path.steps() as f64 * self.strength).ceil() as usize
    }

    fn make(&mut self, at: &Ready, numbers: Range<usize>, on_step: &mut OnStep) -> Result<Made> {
        let images = self.images.select(&editor::sources(&numbers, self.variations))?;
        let model = at.predictor(numbers.len(), None);
        let x = img2img(
            &model,
            &self.sampler,
            at.process().schedule(),
            &self.path,
            &at.tensor(&images)?,
            self.strength,
            &mut at.noise(&numbers),
            on_step,
        )?;
        Made::of(&x)
    }
}
