//! `inkdrop edit upscale`: large images of small ones.

use std::ops::Range;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, ensure};
use inkdrop_data::read;
use inkdrop_data::{Images, picture::Picture};
use inkdrop_sampler::{OnStep, Sampler};
use inkdrop_schedule::Path;
use inkdrop_torch::NoiseSource;
use ndarray::Array4;
use serde::Serialize;

use super::editor::{self, Editor, Made, Ready};
use crate::making::sheet::Sheet;
use crate::model::card::Card;
use crate::options::{EditOptions, Input, ModelOptions, WalkOptions};

/// Large images of small ones, by a network of family improved-super-res
///
/// The factor is the network's size (or --size) over that of the images.
#[derive(Debug, clap::Args, Serialize)]
pub struct Arguments {
    #[serde(flatten)]
    #[command(flatten)]
    model: ModelOptions,
    /// Pictures of one size, or folders of them
    #[serde(skip)]
    #[arg(required = true, value_name = "IMAGES")]
    images: Vec<PathBuf>,
    /// How many results for each image
    #[arg(short = 'n', long, default_value_t = 1)]
    variations: usize,
    #[serde(flatten)]
    #[command(flatten)]
    edit: EditOptions,
    #[serde(flatten)]
    #[command(flatten)]
    walk: WalkOptions,
}

pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let Arguments { model, images, variations, edit, walk } = arguments;
    let editor = Editor::new(edit, model, model.find_upscaler()?)?;
    let card = &editor.model.card;
    let schedule = card.process.schedule.build()?;
    let sampler = walk.sampler()?;
    let levels = walk.levels(sampler, schedule.steps())?;
    let path = levels.path(&schedule)?;
    let given = read_small(images, card)?;
    edit.out.spare(&given.paths)?;
    let (images, count) = (given.images, given.names.len() * variations);
    let job = editor.job(("upscale", levels.to_string()), arguments, &[images.bytes()], count)?;
    let height = card.model.image_shape()[1] as usize;
    let shown = enlarged(&images, height / images.height())?;
    let sheet = Sheet::of_rows(&given.names, &[("image", &shown)], *variations)?;
    let mut task = Task { sampler, path, images, variations: *variations };
    editor.run(job, sheet, false, &mut task)
}

/// Images that the network's size is a whole multiple of.
fn read_small(named: &[PathBuf], card: &Card) -> Result<Input> {
    let paths = read::files(named)?;
    let [_, height, width] = card.model.image_shape().map(|side| side as usize);
    let pictures = paths.iter().map(|path| {
        let picture = read::read_picture(path)?;
        let (w, h) = (picture.width(), picture.height());
        let factor = width / w;
        ensure!(
            factor >= 2 && (w * factor, h * factor) == (width, height),
            "{} is {w} x {h} pixels, the network draws {width} x {height}: expected an image that is a whole number of times smaller, at least twice (--size HxW is another size to draw)",
            path.display()
        );
        Ok(picture)
    });
    let pictures = pictures.collect::<Result<Vec<Picture>>>()?;
    Input::of(paths, &pictures, card)
}

/// Each pixel as factor × factor pixels, to be shown.
fn enlarged(images: &Images, factor: usize) -> Result<Images> {
    let (count, height, width, channels) = images.view().dim();
    let shape = (count, height * factor, width * factor, channels);
    let pixel = |(n, y, x, c)| images.view()[[n, y / factor, x / factor, c]];
    Ok(Images::new(Array4::from_shape_fn(shape, pixel))?)
}

struct Task {
    sampler: Sampler,
    path: Path,
    images: Images,
    variations: usize,
}

impl editor::Task for Task {
    fn steps(&self) -> usize {
        self.path.steps()
    }

    fn make(&mut self, at: &Ready, numbers: Range<usize>, on_step: &mut OnStep) -> Result<Made> {
        let small = self.images.select(&editor::sources(&numbers, self.variations))?;
        let model = at.predictor(numbers.len(), Some(&at.tensor(&small)?));
        let noise = &mut at.noise(&numbers);
        let [c, h, w] = at.image_shape();
        let x = noise.normal(&[numbers.len() as i64, c, h, w], at.device())?;
        let schedule = at.process().schedule();
        Made::of(&self.sampler.walk(&model, schedule, &self.path, x, noise, on_step)?)
    }
}
