//! `inkdrop edit inpaint`: inpainting and outpainting (RePaint).

use anyhow::{Result, ensure};
use inkdrop::InpaintMethod;
use inkdrop::data::Images;
use inkdrop::mask::{self, Mask};
use inkdrop::model::ModelMetadata;
use inkdrop::process::ImageCondition;
use inkdrop::sampler::edit::Repaint;
use serde::{Serialize, Serializer};

use super::canvas::{self, MaskOptions};
use super::session::{self, EditBatch, EditOutput, EditRun};
use crate::options::{EditArgs, Input, InputArgs, ModelArgs, SamplerArgs, image_files};
use crate::output::contact_sheet::ContactSheet;

/// Inpaint a masked region, or outpaint around images
///
/// Models that were trained for inpainting take the masked image; distilled models (consistency, mean
/// velocities, progressive) sample with the known pixels, as others do with --known-pixels; the rest uses RePaint,
/// whose sampler is ddpm, in 250 steps by default, or all timesteps of the model if it has fewer.
/// Unmasked pixels are kept exactly, in 8 or 16 bits.
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
    /// Sample with the known pixels in every predicted image instead of RePaint: the steps of the sampler
    /// are enough [default for distilled models]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[arg(long, conflicts_with_all = ["times", "jump"])]
    known_pixels: bool,
    /// RePaint: passes over each part of the schedule; 1 is fast but leaves seams [default: 10]
    #[serde(serialize_with = "or_default")]
    #[arg(long)]
    times: Option<usize>,
    /// RePaint: number of steps per part (jump length) [default: 10]
    #[serde(serialize_with = "or_default")]
    #[arg(long)]
    jump: Option<usize>,
    #[serde(flatten)]
    #[command(flatten)]
    edit: EditArgs,
    #[serde(flatten, skip_serializing_if = "SamplerArgs::is_default")]
    #[command(flatten)]
    sampler: SamplerArgs,
}

/// Default of `--times` and of `--jump`, as in the paper.
const REPAINT: usize = 10;

/// A manifest stores the default, so that the same command continues a run of an earlier version.
fn or_default<S: Serializer>(value: &Option<usize>, serializer: S) -> Result<S::Ok, S::Error> {
    value.unwrap_or(REPAINT).serialize(serializer)
}

pub fn run(arguments: &Arguments) -> Result<u8> {
    let Arguments { model, input, mask, variations, known_pixels, times, jump, edit, sampler } =
        arguments;
    ensure!(*times != Some(0), "--times 0: expected 1 or more");
    ensure!(*jump != Some(0), "--jump 0: expected at least 1 step");
    let inpaints = |condition| matches!(condition, ImageCondition::Mask { .. });
    let pipeline = session::pipeline(edit, model, model.open(edit.seed)?, inpaints)?;
    let pipeline = sampler.apply(pipeline)?;
    let repaint = Repaint { times: times.unwrap_or(REPAINT), jump: jump.unwrap_or(REPAINT) };
    let method = match pipeline.inpaint_method(repaint) {
        InpaintMethod::Repaint(_) if *known_pixels => InpaintMethod::KnownPart,
        method => method,
    };
    let repaints = matches!(method, InpaintMethod::Repaint(_));
    ensure!(
        repaints || (times.is_none() && jump.is_none()),
        "--times and --jump are for RePaint: this model was trained for inpainting or distilled, leave them out"
    );
    let edit = EditRun { options: edit, pipeline: &pipeline, plan: pipeline.inpaint_plan(method)? };
    let (given, masks) = read_images(input, mask, pipeline.metadata())?;
    edit.options.output.check_inputs(&[&given.paths[..], &mask.files()].concat())?;
    let (images, count) = (given.images, session::results(given.names.len(), *variations)?);
    let all: Vec<u8> = masks.iter().flatten().map(|&pixel| u8::from(pixel)).collect();
    let job = edit.job("inpaint", arguments, (Some(&images), &[&all]), count)?;
    let kept = mask::compose(None, &images, &masks.iter().collect::<Vec<_>>())?;
    let before = [("image", &images), ("kept", &kept)];
    let before = if mask.at().is_some() { &before[1..] } else { &before };
    let sheet = ContactSheet::of_rows(&given.names, before, *variations)?;
    let steps = method.steps(&edit.plan);
    let mut task = Task { steps, method, images, masks, variations: *variations };
    edit.run(job, sheet, false, &mut task)
}

/// The images on canvases of the size of the network, and the mask of each.
fn read_images(
    input: &InputArgs,
    mask: &MaskOptions,
    metadata: &ModelMetadata,
) -> Result<(Input, Vec<Mask>)> {
    let [channels, height, width] = metadata.model.image_shape().map(|side| side as usize);
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
    let mut masks = Vec::new();
    let files = image_files(&input.images)?;
    let given = Input::read(files, (channels, metadata.depth), |path, image| {
        let (canvas, mut mask) = canvas::place(&image, size, at)?;
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
        masks.push(mask);
        Ok(canvas)
    })?;
    Ok((given, masks))
}

struct Task {
    steps: usize,
    method: InpaintMethod,
    images: Images,
    masks: Vec<Mask>,
    variations: usize,
}

impl session::Task for Task {
    fn steps(&self) -> usize {
        self.steps
    }

    fn edit(&mut self, mut batch: EditBatch<'_, '_>) -> Result<EditOutput> {
        let (session, sources) = (batch.session, batch.sources(self.variations));
        let given = self.images.select(&sources)?;
        let masks: Vec<&Mask> = sources.iter().map(|&source| &self.masks[source]).collect();
        let mask = mask::to_tensor(&masks, given.height(), session.device())?;
        let x = batch.tensor(&given)?;
        let x = batch.drive(session.inpaint(batch.indices.clone(), &x, &mask, self.method)?)?;
        let drawn = session.to_images_in(&x, given.depth())?;
        let images = mask::compose(Some(&drawn), &given, &masks)?;
        Ok(EditOutput { images, beside: None })
    }
}
