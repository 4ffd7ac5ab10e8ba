//! `inkdrop edit interpolate`: ways between images, or between noises.

use std::ops::Range;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail, ensure};
use inkdrop_data::Images;
use inkdrop_data::read;
use inkdrop_sampler::edit::{latent_grid, slerp};
use inkdrop_sampler::{Inversion, OnStep, ddim, ddim_inversion};
use inkdrop_schedule::Path;
use inkdrop_torch::tch::Tensor;
use inkdrop_torch::{NoiseSource, PerImageNoise};
use serde::Serialize;

use super::editor::{self, Editor, Made, Ready};
use super::ways;
use crate::making::sheet::{Sheet, Strip};
use crate::options::{EditOptions, InputOptions, ModelOptions};

/// The most images that lie between others.
const MOST: usize = 10_000;

/// Images between two images, or a grid between four
///
/// Images are taken back to their noises (DDIM inversion), these are joined on
/// a sphere, and ddim draws what lies between. Four stand in the corners: upper
/// left, upper right, lower left, lower right.
#[derive(Debug, clap::Args, Serialize)]
pub struct Arguments {
    #[serde(flatten)]
    #[command(flatten)]
    model: ModelOptions,
    /// Two or four pictures (or a folder of them)
    #[serde(skip)]
    #[arg(value_name = "IMAGES", required_unless_present = "seeds", conflicts_with = "seeds")]
    images: Vec<PathBuf>,
    /// Shrink or enlarge images to the network's size, and crop them at their centre
    #[arg(long)]
    fit: bool,
    /// Two or four seeds in place of images: the noise of the first image of each
    #[arg(long, value_delimiter = ',', value_name = "A,B[,C,D]")]
    seeds: Vec<u64>,
    /// Images from left to right, at least 2
    #[arg(long, default_value_t = 8)]
    columns: usize,
    /// Images from top to bottom, between four [default: as many as columns]
    #[arg(long)]
    rows: Option<usize>,
    #[serde(flatten)]
    #[command(flatten)]
    way: ways::Options,
    #[serde(flatten)]
    #[command(flatten)]
    edit: EditOptions,
}

pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let Arguments { model, images, seeds, way, edit, .. } = arguments;
    let editor = Editor::new(edit, model, model.find()?)?;
    let (levels, path) = way.path(&editor.model.card)?;
    let (ends, names) = if seeds.is_empty() {
        let input = InputOptions { images: images.clone(), fit: arguments.fit };
        arguments.shape(read::files(images)?.len(), "images")?;
        let given = input.read(&editor.model.card)?;
        edit.out.spare(&given.paths)?;
        (Ends::Images(given.images), given.names)
    } else {
        (Ends::Seeds(seeds.clone()), seeds.iter().map(|seed| seed.to_string()).collect())
    };
    let (rows, columns) = arguments.shape(names.len(), "seeds")?;
    let inputs = match &ends {
        Ends::Images(images) => images.bytes(),
        Ends::Seeds(_) => &[],
    };
    let (name, count) = (("interpolate", levels.to_string()), rows * columns);
    let job = editor.job(name, arguments, &[inputs, &(columns as u64).to_le_bytes()], count)?;
    let sheet = sheet(&ends, &names, (rows, columns))?;
    let inversion = way.inversion(&path);
    let mut task = Task { path, inversion, ends, shape: (rows, columns), noises: None };
    editor.run(job, sheet, false, &mut task)
}

impl Arguments {
    /// Rows and columns between so many ends.
    fn shape(&self, ends: usize, what: &str) -> Result<(usize, usize)> {
        let rows = match ends {
            2 => {
                ensure!(
                    self.rows.is_none(),
                    "--rows: there is one row between two {what}; give four"
                );
                1
            }
            4 => self.rows.unwrap_or(self.columns),
            _ => bail!("{ends} {what}: expected 2 for a strip or 4 for a grid"),
        };
        let fits = self.columns >= 2 && (ends == 2 || rows >= 2);
        ensure!(
            fits && rows.checked_mul(self.columns).is_some_and(|count| count <= MOST),
            "{rows} rows and {} columns: expected at least 2 of each between their ends, and at most {MOST} images",
            self.columns
        );
        Ok((rows, self.columns))
    }
}

/// What lies at the ends, or in the corners.
enum Ends {
    Images(Images),
    Seeds(Vec<u64>),
}

/// Shares of the way above the columns; the images themselves at the ends of a strip.
fn sheet(ends: &Ends, names: &[String], (rows, columns): (usize, usize)) -> Result<Sheet> {
    let share = |i: usize, count: usize| format!("{:.2}", i as f64 / (count - 1) as f64);
    let mut labels: Vec<String> = (0..columns).map(|column| share(column, columns)).collect();
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
    Ok(Sheet { columns: labels, rows: strips, made: columns })
}

struct Task {
    path: Path,
    inversion: Inversion,
    ends: Ends,
    shape: (usize, usize),
    /// The noises of all images, [N, C, H, W].
    noises: Option<Tensor>,
}

impl Task {
    fn noises(&mut self, at: &Ready, on_step: &mut OnStep) -> Result<Tensor> {
        if let Some(noises) = &self.noises {
            return Ok(noises.shallow_clone());
        }
        let ends: Vec<Tensor> = match &self.ends {
            Ends::Images(images) => {
                let (model, x) = (at.predictor(images.len(), None), at.tensor(images)?);
                let noise = ddim_inversion(&model, &self.path, x, self.inversion, on_step)?;
                noise.f_split(1, 0)?
            }
            Ends::Seeds(seeds) => {
                let [c, h, w] = at.image_shape();
                let noise =
                    |&seed| PerImageNoise::new(seed, 0..1).normal(&[1, c, h, w], at.device());
                seeds.iter().map(noise).collect::<Result<_, _>>()?
            }
        };
        let (rows, columns) = self.shape;
        let noises = match &ends[..] {
            [a, b, c, d] => latent_grid([a, c, b, d], rows, columns)?,
            ends => {
                let share = |column| column as f64 / (columns - 1) as f64;
                let between = |column| slerp(&ends[0], &ends[1], share(column));
                Tensor::f_cat(&(0..columns).map(between).collect::<Result<Vec<_>, _>>()?, 0)?
            }
        };
        self.noises = Some(noises.shallow_clone());
        Ok(noises)
    }
}

impl editor::Task for Task {
    fn steps(&self) -> usize {
        let back = match (&self.ends, &self.noises) {
            (Ends::Images(_), None) => ways::inversion_steps(&self.path),
            _ => 0,
        };
        back + self.path.steps()
    }

    fn make(&mut self, at: &Ready, numbers: Range<usize>, on_step: &mut OnStep) -> Result<Made> {
        let noises = self.noises(at, on_step)?;
        let x = noises.f_narrow(0, numbers.start as i64, numbers.len() as i64)?;
        let model = at.predictor(numbers.len(), None);
        Made::of(&ddim(&model, &self.path, x, 0.0, &mut at.noise(&numbers), on_step)?)
    }
}
