//! `inkdrop edit img2img`: image-to-image (SDEdit).

use std::ops::Range;
use std::process::ExitCode;

use anyhow::{Result, ensure};
use inkdrop_data::Images;
use inkdrop_sampler::Sampler;
use inkdrop_sampler::edit::img2img_start;
use inkdrop_schedule::SamplingSchedule;
use serde::Serialize;

use super::session::{self, EditContext, EditOutput, EditSession};
use crate::options::{EditArgs, InputArgs, ModelArgs, ResolvedSampler, SamplerArgs};
use crate::sampling::contact_sheet::ContactSheet;
use crate::sampling::runner::Run;

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

pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let Arguments { model, input, strength, variations, edit, sampler } = arguments;
    let (strength, variations) = (*strength, *variations);
    ensure!(
        strength > 0.0 && strength <= 1.0,
        "--strength {strength}: expected above 0 (the image is kept) to 1 (a new image)"
    );
    let session = EditSession::new(edit, model, model.find()?)?;
    let ResolvedSampler { sampler, spacing, schedule } =
        sampler.resolve(&session.model.metadata)?;
    let given = input.read(&session.model.metadata)?;
    edit.output.check_inputs(&given.paths)?;
    let (images, count) = (given.images, given.names.len() * variations);
    let job = session.job(("img2img", spacing.to_string()), arguments, &[images.bytes()], count)?;
    let sheet = ContactSheet::of_rows(&given.names, &[("image", &images)], variations)?;
    session.run(job, sheet, false, &mut Task { sampler, schedule, images, strength, variations })
}

struct Task {
    sampler: Sampler,
    schedule: SamplingSchedule,
    images: Images,
    strength: f64,
    variations: usize,
}

impl session::Task for Task {
    fn steps(&self) -> usize {
        (self.schedule.len() as f64 * self.strength).ceil() as usize
    }

    fn edit(
        &mut self,
        context: &EditContext,
        numbers: Range<usize>,
        run: &mut Run,
    ) -> Result<EditOutput> {
        let images = self.images.select(&session::sources(&numbers, self.variations))?;
        let (mut noise, count) = (context.noise(&numbers), numbers.len());
        let x = context.tensor(&images)?;
        let (x, schedule) = img2img_start(&self.schedule, &x, self.strength, &mut noise)?;
        let denoiser = context.denoiser(count, None);
        let noise_schedule = context.process().schedule();
        let steps = self.sampler.steps(denoiser, noise_schedule, &schedule, x, noise)?;
        EditOutput::of(&run.drive(count, steps)?)
    }
}
