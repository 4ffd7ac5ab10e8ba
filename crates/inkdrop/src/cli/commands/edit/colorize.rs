//! `inkdrop edit colorize`: colours for gray images.

use anyhow::{Result, ensure};
use inkdrop::sampler::KnownPart;
use serde::Serialize;

use super::session::{self, EditRun, Variations};
use crate::options::{EditArgs, InputArgs, ModelArgs, SamplerArgs};
use crate::output::contact_sheet::ContactSheet;

/// Colour gray images
///
/// Samples images whose luma is that of the given ones; colours that they have do not count.
/// Consistency models need one to four steps, others those of the sampler.
#[derive(Debug, clap::Args, Serialize)]
pub struct Arguments {
    #[serde(flatten)]
    #[command(flatten)]
    model: ModelArgs,
    #[serde(flatten)]
    #[command(flatten)]
    input: InputArgs,
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
    let Arguments { model, input, variations, edit, sampler } = arguments;
    let pipeline = session::pipeline(edit, model, model.open(edit.seed)?, |_| false)?;
    let pipeline = sampler.apply(pipeline)?;
    let channels = pipeline.metadata().model.image_shape()[0];
    ensure!(channels == 3, "the model generates {channels} channels: expected 3 (RGB)");
    let edit = EditRun { options: edit, pipeline: &pipeline, plan: pipeline.sampler_plan()? };
    let given = input.read(pipeline.metadata())?;
    edit.options.output.check_inputs(&given.paths)?;
    let (images, count) = (given.images, session::results(given.names.len(), *variations)?);
    let job = edit.job("colorize", arguments, (Some(&images), &[]), count)?;
    let sheet = ContactSheet::of_rows(&given.names, &[("image", &images)], *variations)?;
    let mut task = Variations {
        steps: edit.plan.schedule.len(),
        images,
        variations: *variations,
        start: &|session, indices, x| session.with_known_part(indices, KnownPart::luma(x)?),
    };
    edit.run(job, sheet, false, &mut task)
}
