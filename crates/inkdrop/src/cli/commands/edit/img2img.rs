//! `inkdrop edit img2img`: image-to-image (SDEdit).

use anyhow::{Result, ensure};
use serde::Serialize;

use super::session::{self, EditRun, Variations};
use crate::options::{EditArgs, InputArgs, ModelArgs, SamplerArgs};
use crate::output::contact_sheet::ContactSheet;

/// Image-to-image: variations of images by adding noise and denoising (SDEdit)
#[derive(Debug, clap::Args, Serialize)]
pub struct Arguments {
    #[serde(flatten)]
    #[command(flatten)]
    model: ModelArgs,
    #[serde(flatten)]
    #[command(flatten)]
    input: InputArgs,
    /// Fraction of the steps, above 0 (the image is kept) to 1 (a new image)
    #[arg(long, default_value_t = 0.6)]
    strength: f64,
    /// Number of variations per image
    #[arg(short = 'n', long, default_value_t = 4)]
    variations: usize,
    #[serde(flatten)]
    #[command(flatten)]
    edit: EditArgs,
    #[serde(flatten)]
    #[command(flatten)]
    sampler: SamplerArgs,
}

pub fn run(arguments: &Arguments) -> Result<u8> {
    let Arguments { model, input, strength, variations, edit, sampler } = arguments;
    let (strength, variations) = (*strength, *variations);
    ensure!(
        strength > 0.0 && strength <= 1.0,
        "--strength {strength}: expected above 0 (the image is kept) to 1 (a new image)"
    );
    let pipeline =
        sampler.apply(session::pipeline(edit, model, model.open(edit.seed)?, |_| false)?)?;
    let edit = EditRun { options: edit, pipeline: &pipeline, plan: pipeline.sampler_plan()? };
    let given = input.read(pipeline.metadata())?;
    edit.options.output.check_inputs(&given.paths)?;
    let (images, count) = (given.images, session::results(given.names.len(), variations)?);
    let job = edit.job("img2img", arguments, (Some(&images), &[]), count)?;
    let sheet = ContactSheet::of_rows(&given.names, &[("image", &images)], variations)?;
    let steps = edit.plan.img2img_schedule(strength)?.len();
    let mut task = Variations {
        steps,
        images,
        variations,
        start: &|session, indices, x| session.img2img(indices, x, strength),
    };
    edit.run(job, sheet, false, &mut task)
}
