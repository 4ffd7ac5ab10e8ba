//! `inkdrop edit interpolate`: interpolation between images, or between noises.

use std::ops::Range;
use std::path::PathBuf;

use anyhow::{Result, bail, ensure};
use inkdrop::data::Images;
use inkdrop::sampler::edit::latent_grid;
use inkdrop::torch::tch::Tensor;
use inkdrop::torch::{NoiseSource, PerImageNoise};
use serde::Serialize;

use super::inversion::{InversionArgs, inversion_steps};
use super::session::{self, EditBatch, EditOutput, EditRun};
use crate::options::{EditArgs, InputArgs, ModelArgs};
use crate::output::contact_sheet::{ContactSheet, Strip};

/// Maximum number of interpolated images.
const MAX_IMAGES: usize = 10_000;

/// Interpolate between two images, or in a grid between four
///
/// Images are inverted to noise (DDIM inversion), the noise is interpolated
/// spherically, and ddim samples from it. Four images are the corners: upper
/// left, upper right, lower left, lower right.
#[derive(Debug, clap::Args, Serialize)]
pub struct Arguments {
    #[serde(flatten)]
    #[command(flatten)]
    model: ModelArgs,
    /// Two or four pictures (or a directory of them)
    #[serde(skip)]
    #[arg(value_name = "IMAGES", required_unless_present = "seeds", conflicts_with = "seeds")]
    images: Vec<PathBuf>,
    /// Resize images to the size of the model, with a centre crop
    #[arg(long)]
    fit: bool,
    /// Two or four seeds instead of images: the noise of the first image of each
    #[arg(long, value_delimiter = ',', value_name = "A,B[,C,D]")]
    seeds: Vec<u64>,
    /// Number of columns, at least 2
    #[arg(long, default_value_t = 8)]
    columns: usize,
    /// Number of rows of a grid [default: the number of columns]
    #[arg(long)]
    rows: Option<usize>,
    #[serde(flatten)]
    #[command(flatten)]
    inversion: InversionArgs,
    #[serde(flatten)]
    #[command(flatten)]
    edit: EditArgs,
}

pub fn run(arguments: &Arguments) -> Result<u8> {
    let Arguments { model, images, seeds, inversion, edit, .. } = arguments;
    let pipeline = session::pipeline(edit, model, model.open(edit.seed)?, |_| false)?;
    let pipeline = inversion.apply(pipeline);
    let edit = EditRun { options: edit, pipeline: &pipeline, plan: pipeline.inversion_plan()? };
    let (ends, names) = if seeds.is_empty() {
        let input = InputArgs { images: images.clone(), fit: arguments.fit };
        let given = input.read(pipeline.metadata())?;
        arguments.shape(given.names.len(), "images")?;
        edit.options.output.check_inputs(&given.paths)?;
        (Ends::Images(given.images), given.names)
    } else {
        (Ends::Seeds(seeds.clone()), seeds.iter().map(|seed| seed.to_string()).collect())
    };
    let (rows, columns) = arguments.shape(names.len(), "seeds")?;
    let inputs = match &ends {
        Ends::Images(images) => Some(images),
        Ends::Seeds(_) => None,
    };
    let (columns_bytes, count) = ((columns as u64).to_le_bytes(), rows * columns);
    let job = edit.job("interpolate", arguments, (inputs, &[&columns_bytes]), count)?;
    let sheet = sheet(&ends, &names, (rows, columns))?;
    let (steps, refine) = (edit.plan.schedule.len(), inversion.refine);
    let mut task = Task { steps, refine, ends, shape: (rows, columns), noises: None };
    edit.run(job, sheet, false, &mut task)
}

impl Arguments {
    /// Rows and columns for so many ends.
    fn shape(&self, ends: usize, what: &str) -> Result<(usize, usize)> {
        let rows = match ends {
            2 => {
                ensure!(
                    self.rows.is_none(),
                    "--rows: two {what} make one row; give four {what} for a grid"
                );
                1
            }
            4 => self.rows.unwrap_or(self.columns),
            _ => bail!("{ends} {what}: expected 2 for a strip or 4 for a grid"),
        };
        let fits = self.columns >= 2 && (ends == 2 || rows >= 2);
        ensure!(
            fits && rows.checked_mul(self.columns).is_some_and(|count| count <= MAX_IMAGES),
            "{rows} rows and {} columns: expected at least 2 of each between their ends, and at most {MAX_IMAGES} images",
            self.columns
        );
        Ok((rows, self.columns))
    }
}

/// The ends of a strip, or the corners of a grid.
enum Ends {
    Images(Images),
    Seeds(Vec<u64>),
}

/// Interpolation weights as headings; the inputs at the ends of a strip.
fn sheet(ends: &Ends, names: &[String], (rows, columns): (usize, usize)) -> Result<ContactSheet> {
    let weight = |i: usize, count: usize| format!("{:.2}", i as f64 / (count - 1) as f64);
    let mut labels: Vec<String> = (0..columns).map(|column| weight(column, columns)).collect();
    let mut strips: Vec<Strip> = (0..rows).map(|_| Strip::plain("")).collect();
    match (ends, names) {
        (Ends::Images(images), [left, right]) => {
            labels.insert(0, left.clone());
            labels.push(right.clone());
            let (before, after) = (Some(images.select(&[0])?), Some(images.select(&[1])?));
            strips = vec![Strip { label: String::new(), before, after }];
        }
        (_, [a, b, c, d]) => {
            strips[0].label = format!("{a} - {b}");
            strips[rows - 1].label = format!("{c} - {d}");
        }
        _ => strips[0].label = format!("seeds {}", names.join(" - ")),
    }
    Ok(ContactSheet { columns: labels, rows: strips, generated: columns })
}

struct Task {
    steps: usize,
    refine: usize,
    ends: Ends,
    shape: (usize, usize),
    /// The noise of all images, [N, C, H, W], computed with the first batch.
    noises: Option<Tensor>,
}

impl Task {
    fn noises(&mut self, batch: &mut EditBatch<'_, '_>) -> Result<Tensor> {
        let session = batch.session;
        if let Some(noises) = &self.noises {
            return Ok(noises.shallow_clone());
        }
        let ends: Vec<Tensor> = match &self.ends {
            Ends::Images(images) => {
                let x = batch.tensor(images)?;
                let inversion = session.invert(0..images.len(), &x, self.refine)?;
                // Another count than the batch's: an animation does not show the inversion.
                batch.run.drive(self.shape.0 * self.shape.1, inversion)?.f_split(1, 0)?
            }
            Ends::Seeds(seeds) => {
                let [c, h, w] = session.image_shape();
                let noise =
                    |&seed| PerImageNoise::new(seed, 0..1).normal(&[1, c, h, w], session.device());
                seeds.iter().map(noise).collect::<Result<_, _>>()?
            }
        };
        let (rows, columns) = self.shape;
        let noises = match &ends[..] {
            [a, b, c, d] => latent_grid([a, c, b, d], rows, columns)?,
            [a, b] => latent_grid([a, a, b, b], 1, columns)?,
            ends => bail!("{} ends: expected 2 or 4", ends.len()),
        };
        self.noises = Some(noises.shallow_clone());
        Ok(noises)
    }
}

impl session::Task for Task {
    fn steps(&self) -> usize {
        let inversion = match (&self.ends, &self.noises) {
            (Ends::Images(_), None) => inversion_steps(self.steps),
            _ => 0,
        };
        inversion + self.steps
    }

    fn edit(&mut self, mut batch: EditBatch<'_, '_>) -> Result<EditOutput> {
        let noises = self.noises(&mut batch)?;
        let Range { start, end } = batch.indices;
        let x = noises.f_narrow(0, start as i64, (end - start) as i64)?;
        let x = batch.drive(batch.session.generate_from(start..end, &x)?)?;
        batch.output(&x)
    }
}
