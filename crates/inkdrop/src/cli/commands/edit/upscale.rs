//! `inkdrop edit upscale`: super-resolution.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use inkdrop::data::Images;
use inkdrop::model::ModelMetadata;
use inkdrop::process::ImageCondition;
use ndarray::Array4;
use serde::Serialize;

use super::session::{self, EditRun, Variations};
use crate::options::{EditArgs, Input, ModelArgs, SamplerArgs, image_files};
use crate::output::contact_sheet::ContactSheet;

/// Upscale images
///
/// Networks for super-resolution (family improved-super-res, or condition low-res) take the images; any
/// other model samples images with the means that are given. The factor is that of the condition, or the
/// size of the model (or --size) divided by that of the images.
#[derive(Debug, clap::Args, Serialize)]
pub struct Arguments {
    #[serde(flatten)]
    #[command(flatten)]
    model: ModelArgs,
    /// Pictures or .npy files of images of one size, or directories of them
    #[serde(skip)]
    #[arg(required = true, value_name = "IMAGES")]
    images: Vec<PathBuf>,
    /// Number of results per image
    #[arg(short = 'n', long, default_value_t = 1)]
    variations: usize,
    #[serde(flatten)]
    #[command(flatten)]
    edit: EditArgs,
    #[serde(flatten)]
    #[command(flatten)]
    sampler: SamplerArgs,
}

pub fn run(arguments: &Arguments) -> Result<u8> {
    let Arguments { model, images, variations, edit, sampler } = arguments;
    let enlarges = |condition| matches!(condition, ImageCondition::LowRes { .. });
    let pipeline = session::pipeline(edit, model, model.open_any(edit.seed)?, enlarges)?;
    let pipeline = sampler.apply(pipeline)?;
    let edit = EditRun { options: edit, pipeline: &pipeline, plan: pipeline.sampler_plan()? };
    let given = read_small(images, pipeline.metadata())?;
    edit.options.output.check_inputs(&given.paths)?;
    let (images, count) = (given.images, session::results(given.names.len(), *variations)?);
    let job = edit.job("upscale", arguments, (Some(&images), &[]), count)?;
    let height = pipeline.metadata().model.image_shape()[1] as usize;
    let shown = enlarged(&images, height / images.height())?;
    let sheet = ContactSheet::of_rows(&given.names, &[("image", &shown)], *variations)?;
    let steps = edit.plan.schedule.len();
    let mut task = Variations {
        steps,
        images,
        variations: *variations,
        start: &|session, indices, x| session.upscale(indices, x),
    };
    edit.run(job, sheet, false, &mut task)
}

/// Reads images whose size divides that of the network.
fn read_small(named: &[PathBuf], metadata: &ModelMetadata) -> Result<Input> {
    let [channels, height, width] = metadata.model.image_shape().map(|side| side as usize);
    let input = Input::read(image_files(named)?, (channels, metadata.depth), |path, image| {
        let (w, h) = (image.width(), image.height());
        let factor = width / w;
        ensure!(
            factor >= 2 && (w * factor, h * factor) == (width, height),
            "{} is {w} x {h} pixels, the model generates {width} x {height}: expected an image that is smaller by an integer factor of at least 2 (--size HxW sets another output size)",
            path.display()
        );
        Ok(image)
    })?;
    check_factor(&input.images, metadata)?;
    Ok(input)
}

/// Checks that the images are smaller by the factor that the network was trained for.
fn check_factor(images: &Images, metadata: &ModelMetadata) -> Result<()> {
    let Some(ImageCondition::LowRes { factor, .. }) = metadata.condition else { return Ok(()) };
    let [_, height, width] = metadata.model.image_shape();
    let [h, w] = [height / factor, width / factor];
    ensure!(
        [images.height() as i64, images.width() as i64] == [h, w],
        "an image is {} x {} pixels, the model enlarges {factor} times: expected {w} x {h}",
        images.width(),
        images.height()
    );
    Ok(())
}

/// Nearest-neighbour enlargement in 8 bits, for display.
fn enlarged(images: &Images, factor: usize) -> Result<Images> {
    let (count, height, width, channels) = images.view().dim();
    let shape = (count, height * factor, width * factor, channels);
    let pixel = |(n, y, x, c)| images.view()[[n, y / factor, x / factor, c]];
    Ok(Images::new(Array4::from_shape_fn(shape, pixel))?)
}
