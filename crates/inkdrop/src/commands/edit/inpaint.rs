//! `inkdrop edit inpaint`: inpainting and outpainting (RePaint).

use std::ops::Range;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, ensure};
use inkdrop_data::Images;
use inkdrop_data::read;
use inkdrop_sampler::edit::{Inpaint, Repaint};
use inkdrop_schedule::{LevelSpacing, SamplingSchedule, TimestepSpacing};
use serde::Serialize;

use super::canvas::{self, Mask, MaskOptions};
use super::session::{self, EditContext, EditOutput, EditSession};
use crate::model::metadata::ModelMetadata;
use crate::options::{EditArgs, Input, InputArgs, ModelArgs};
use crate::sampling::contact_sheet::ContactSheet;
use crate::sampling::draw;
use crate::sampling::runner::Run;

/// Default number of steps, as in the paper.
const STEPS: usize = 250;

/// Inpaint a masked region, or outpaint around images (RePaint)
///
/// The sampler is ddpm. Unmasked pixels are kept byte for byte.
#[derive(Debug, clap::Args, Serialize)]
pub struct Arguments {
    #[serde(flatten)]
    #[command(flatten)]
    model: ModelArgs,
    #[serde(flatten)]
    #[command(flatten)]
    input: InputArgs,
    #[serde(skip)]
    #[command(flatten)]
    mask: MaskOptions,
    /// Number of results per image
    #[arg(short = 'n', long, default_value_t = 1)]
    variations: usize,
    /// Sampling steps [default: 250, or all timesteps of the model if it has fewer]
    #[serde(skip)]
    #[arg(long)]
    steps: Option<usize>,
    /// RePaint: passes over each part of the schedule; 1 is fast but leaves seams
    #[arg(long, default_value_t = 10)]
    times: usize,
    /// RePaint: number of steps per part (jump length)
    #[arg(long, default_value_t = 10)]
    jump: usize,
    #[serde(flatten)]
    #[command(flatten)]
    edit: EditArgs,
}

pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let Arguments { model, input, mask, variations, steps, times, jump, edit } = arguments;
    let repaint = Repaint { times: *times, jump: *jump };
    ensure!(*times > 0, "--times 0: expected 1 or more");
    ensure!(*jump > 0, "--jump 0: expected at least 1 step");
    let session = EditSession::new(edit, model, model.find()?)?;
    let schedule = session.model.metadata.process.schedule.build()?;
    let levels = match steps.unwrap_or(STEPS.min(schedule.num_timesteps())) {
        steps if steps == schedule.num_timesteps() => LevelSpacing::Timesteps(TimestepSpacing::All),
        steps => LevelSpacing::Timesteps(TimestepSpacing::Trailing(steps)),
    };
    let schedule = levels.sampling_schedule(&schedule)?;
    let (given, masks) = read_images(input, mask, &session.model.metadata)?;
    edit.output.check_inputs(&[&given.paths[..], &mask.files()].concat())?;
    let (images, count) = (given.images, given.names.len() * variations);
    let all: Vec<u8> = masks.iter().flatten().map(|&pixel| u8::from(pixel)).collect();
    let inputs = [images.bytes(), &all];
    let job = session.job(("inpaint", levels.to_string()), arguments, &inputs, count)?;
    let kept = canvas::compose(None, &images, &masks.iter().collect::<Vec<_>>())?;
    let before = [("image", &images), ("kept", &kept)];
    let before = if mask.at().is_some() { &before[1..] } else { &before };
    let sheet = ContactSheet::of_rows(&given.names, before, *variations)?;
    session.run(
        job,
        sheet,
        false,
        &mut Task { schedule, repaint, images, masks, variations: *variations },
    )
}

/// The images on canvases of the size of the network, and the mask of each.
fn read_images(
    input: &InputArgs,
    mask: &MaskOptions,
    metadata: &ModelMetadata,
) -> Result<(Input, Vec<Mask>)> {
    let [_, height, width] = metadata.model.image_shape().map(|side| side as usize);
    let (size, region) = ((width, height), mask.mask((width, height))?);
    let Some(at) = mask.at() else {
        ensure!(
            region.contains(&true),
            "the mask is black everywhere: expected white pixels, which are inpainted"
        );
        let given = input.read(metadata)?;
        let masks = vec![region; given.names.len()];
        return Ok((given, masks));
    };
    let paths = read::files(&input.images)?;
    let placed = |path: &PathBuf| {
        let (canvas, mut mask) = canvas::place(&read::read_picture(path)?, size, at);
        let name = path.display();
        ensure!(
            mask.contains(&false),
            "--at {},{}: {name} lies outside of the {width} x {height} pixels of the model",
            at.0,
            at.1
        );
        mask.iter_mut().zip(&region).for_each(|(pixel, region)| *pixel |= region);
        ensure!(
            mask.contains(&true),
            "--at {},{}: {name} covers all {width} x {height} pixels of the model, nothing is left to outpaint",
            at.0,
            at.1
        );
        Ok((canvas, mask))
    };
    let (canvases, masks): (Vec<_>, Vec<_>) =
        paths.iter().map(placed).collect::<Result<Vec<_>>>()?.into_iter().unzip();
    Ok((Input::of(paths, &canvases, metadata)?, masks))
}

struct Task {
    schedule: SamplingSchedule,
    repaint: Repaint,
    images: Images,
    masks: Vec<Mask>,
    variations: usize,
}

impl session::Task for Task {
    fn steps(&self) -> usize {
        self.repaint.calls(self.schedule.len())
    }

    fn edit(
        &mut self,
        context: &EditContext,
        numbers: Range<usize>,
        run: &mut Run,
    ) -> Result<EditOutput> {
        let sources = session::sources(&numbers, self.variations);
        let given = self.images.select(&sources)?;
        let masks: Vec<&Mask> = sources.iter().map(|&source| &self.masks[source]).collect();
        let denoiser = context.denoiser(numbers.len(), None);
        let x = context.tensor(&given)?;
        let mask = canvas::mask_tensor(&masks, given.height(), context.device());
        let noise = &mut context.noise(&numbers);
        let images_and_mask = (&x, &mask);
        let inpaint =
            Inpaint::new(&denoiser, &self.schedule, images_and_mask, self.repaint, noise)?;
        let x = run.drive(numbers.len(), inpaint)?;
        // The conversion to [-1, 1] and back does not keep every byte.
        let images = canvas::compose(Some(&draw::images(&x)?), &given, &masks)?;
        Ok(EditOutput { images, beside: None })
    }
}
