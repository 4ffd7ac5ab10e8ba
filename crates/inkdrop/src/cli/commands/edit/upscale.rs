//! `inkdrop edit upscale`: super-resolution.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use inkdrop::data::{Images, picture::Picture};
use inkdrop::model::ModelMetadata;
use inkdrop::process::ImageCondition;
use ndarray::Array4;
use serde::Serialize;

use super::session::{self, EditRun, Variations};
use crate::options::{EditArgs, Input, ModelArgs, SamplerArgs, picture_files, read_picture};
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
    /// Pictures of one size, or directories of them
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
    let (images, count) = (given.images, given.names.len() * variations);
    let job = edit.job("upscale", arguments, &[images.bytes()], count)?;
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
    let paths = picture_files(named)?;
    let [_, height, width] = metadata.model.image_shape().map(|side| side as usize);
    let pictures = paths.iter().map(|path| {
        let picture = read_picture(path)?;
        let (w, h) = (picture.width(), picture.height());
        let factor = width / w;
        ensure!(
            factor >= 2 && (w * factor, h * factor) == (width, height),
            "{} is {w} x {h} pixels, the model generates {width} x {height}: expected an image that is smaller by an integer factor of at least 2 (--size HxW sets another output size)",
            path.display()
        );
        Ok(picture)
    });
    let pictures = pictures.collect::<Result<Vec<Picture>>>()?;
    check_factor(&pictures, metadata)?;
    Input::of(paths, &pictures, metadata)
}

/// Checks that the images are smaller by the factor that the network was trained for.
fn check_factor(pictures: &[Picture], metadata: &ModelMetadata) -> Result<()> {
    let Some(ImageCondition::LowRes { factor, .. }) = metadata.condition else { return Ok(()) };
    let [_, height, width] = metadata.model.image_shape();
    let [h, w] = [height / factor, width / factor];
    let other = pictures.iter().find(|p| [p.height() as i64, p.width() as i64] != [h, w]);
    ensure!(
        other.is_none(),
        "an image is {} x {} pixels, the model enlarges {factor} times: expected {w} x {h}",
        other.map_or(0, Picture::width),
        other.map_or(0, Picture::height)
    );
    Ok(())
}

/// Nearest-neighbour enlargement, for display.
fn enlarged(images: &Images, factor: usize) -> Result<Images> {
    let (count, height, width, channels) = images.view().dim();
    let shape = (count, height * factor, width * factor, channels);
    let pixel = |(n, y, x, c)| images.view()[[n, y / factor, x / factor, c]];
    Ok(Images::new(Array4::from_shape_fn(shape, pixel))?)
}
