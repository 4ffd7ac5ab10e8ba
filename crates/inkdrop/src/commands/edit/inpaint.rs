//! `inkdrop edit inpaint`: what is missing in images.

use std::ops::Range;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, ensure};
use inkdrop_data::Images;
use inkdrop_data::read;
use inkdrop_sampler::OnStep;
use inkdrop_sampler::edit::{Repaint, inpaint};
use inkdrop_schedule::{Levels, Path, Spacing};
use serde::Serialize;

use super::canvas::{self, Drawn, MaskOptions};
use super::editor::{self, Editor, Made, Ready};
use crate::making::draw;
use crate::making::sheet::Sheet;
use crate::model::card::Card;
use crate::options::{EditOptions, Input, InputOptions, ModelOptions};

/// Steps where none are asked for, as in the paper.
const STEPS: usize = 250;

/// Draw what a mask covers, or what lies around images (RePaint)
///
/// Always by ddpm. Kept pixels are the image's own, byte by byte.
#[derive(Debug, clap::Args, Serialize)]
pub struct Arguments {
    #[serde(flatten)]
    #[command(flatten)]
    model: ModelOptions,
    #[serde(flatten)]
    #[command(flatten)]
    input: InputOptions,
    #[serde(skip)]
    #[command(flatten)]
    mask: MaskOptions,
    /// How many results for each image
    #[arg(short = 'n', long, default_value_t = 1)]
    variations: usize,
    /// Steps of ddpm [default: 250, or all of the model if it has fewer]
    #[serde(skip)]
    #[arg(long)]
    steps: Option<usize>,
    /// How often each part of the way is walked, so that what is drawn comes to fit; 1 is fast and
    /// leaves seams
    #[arg(long, default_value_t = 10)]
    times: usize,
    /// Steps of such a part
    #[arg(long, default_value_t = 10)]
    jump: usize,
    #[serde(flatten)]
    #[command(flatten)]
    edit: EditOptions,
}

pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let Arguments { model, input, mask, variations, steps, times, jump, edit } = arguments;
    let repaint = Repaint { times: *times, jump: *jump };
    ensure!(*times > 0, "--times 0: expected 1 (once) or more");
    ensure!(*jump > 0, "--jump 0: expected at least 1 step");
    let editor = Editor::new(edit, model, model.find()?)?;
    let schedule = editor.model.card.process.schedule.build()?;
    let levels = match steps.unwrap_or(STEPS.min(schedule.steps())) {
        steps if steps == schedule.steps() => Levels::Steps(Spacing::All),
        steps => Levels::Steps(Spacing::Trailing(steps)),
    };
    let path = levels.path(&schedule)?;
    let (given, drawn) = read_images(input, mask, &editor.model.card)?;
    edit.out.spare(&[&given.paths[..], &mask.files()].concat())?;
    let (images, count) = (given.images, given.names.len() * variations);
    let all: Vec<u8> = drawn.iter().flatten().map(|&pixel| u8::from(pixel)).collect();
    let inputs = [images.bytes(), &all];
    let job = editor.job(("inpaint", levels.to_string()), arguments, &inputs, count)?;
    let kept = canvas::composed(None, &images, &drawn.iter().collect::<Vec<_>>())?;
    let before = [("image", &images), ("kept", &kept)];
    let before = if mask.at().is_some() { &before[1..] } else { &before };
    let sheet = Sheet::of_rows(&given.names, before, *variations)?;
    editor.run(
        job,
        sheet,
        false,
        &mut Task { path, repaint, images, drawn, variations: *variations },
    )
}

/// The images on canvases of the network's size, and what is drawn of each.
fn read_images(
    input: &InputOptions,
    mask: &MaskOptions,
    card: &Card,
) -> Result<(Input, Vec<Drawn>)> {
    let [_, height, width] = card.model.image_shape().map(|side| side as usize);
    let (size, asked) = ((width, height), mask.drawn((width, height))?);
    let Some(at) = mask.at() else {
        ensure!(asked.contains(&true), "the mask is black all over: nothing is to be drawn");
        let given = input.read(card)?;
        let drawn = vec![asked; given.names.len()];
        return Ok((given, drawn));
    };
    let paths = read::files(&input.images)?;
    let placed = |path: &PathBuf| {
        let (canvas, mut drawn) = canvas::place(&read::read_picture(path)?, size, at);
        let name = path.display();
        ensure!(
            drawn.contains(&false),
            "--at {},{}: nothing of {name} lies on the {width} x {height} pixels that the network draws",
            at.0,
            at.1
        );
        drawn.iter_mut().zip(&asked).for_each(|(drawn, asked)| *drawn |= asked);
        ensure!(
            drawn.contains(&true),
            "--at {},{}: {name} covers all {width} x {height} pixels, nothing is left to be drawn",
            at.0,
            at.1
        );
        Ok((canvas, drawn))
    };
    let (canvases, drawn): (Vec<_>, Vec<_>) =
        paths.iter().map(placed).collect::<Result<Vec<_>>>()?.into_iter().unzip();
    Ok((Input::of(paths, &canvases, card)?, drawn))
}

struct Task {
    path: Path,
    repaint: Repaint,
    images: Images,
    drawn: Vec<Drawn>,
    variations: usize,
}

impl editor::Task for Task {
    fn steps(&self) -> usize {
        self.repaint.calls(self.path.steps())
    }

    fn make(&mut self, at: &Ready, numbers: Range<usize>, on_step: &mut OnStep) -> Result<Made> {
        let sources = editor::sources(&numbers, self.variations);
        let given = self.images.select(&sources)?;
        let drawn: Vec<&Drawn> = sources.iter().map(|&source| &self.drawn[source]).collect();
        let model = at.predictor(numbers.len(), None);
        let x = at.tensor(&given)?;
        let mask = canvas::mask(&drawn, given.height(), at.device());
        let noise = &mut at.noise(&numbers);
        let x = inpaint(&model, &self.path, (&x, &mask), self.repaint, noise, on_step)?;
        // Bytes do not survive the way to [-1, 1] and back.
        let images = canvas::composed(Some(&draw::images(&x)?), &given, &drawn)?;
        Ok(Made { images, beside: None })
    }
}
