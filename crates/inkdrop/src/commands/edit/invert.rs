//! `inkdrop edit invert`: images to noise, and back.

use std::ops::Range;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, ensure};
use inkdrop_checkpoint::Weights;
use inkdrop_data::Images;
use inkdrop_sampler::{Inversion, OnStep, ddim, ddim_inversion};
use inkdrop_schedule::Path;
use inkdrop_torch::tch::{Kind, Tensor};
use serde::Serialize;

use super::editor::{self, Editor, Made, Ready};
use super::ways;
use crate::making::draw;
use crate::making::output::{check_place, same_place};
use crate::making::sheet::Sheet;
use crate::options::{EditOptions, InputOptions, ModelOptions};

/// The noise that images come from, and what it is drawn to (DDIM inversion)
#[derive(Debug, clap::Args, Serialize)]
pub struct Arguments {
    #[serde(flatten)]
    #[command(flatten)]
    model: ModelOptions,
    #[serde(flatten)]
    #[command(flatten)]
    input: InputOptions,
    #[serde(flatten)]
    #[command(flatten)]
    way: ways::Options,
    /// Write the noise here: `latents` [N, C, H, W] in a safetensors file
    #[serde(skip)]
    #[arg(long, value_name = "PATH")]
    latents: Option<PathBuf>,
    #[serde(flatten)]
    #[command(flatten)]
    edit: EditOptions,
}

pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let Arguments { model, input, way, latents, edit } = arguments;
    let editor = Editor::new(edit, model, model.find()?)?;
    let (levels, path) = way.path(&editor.model.card)?;
    let given = input.read(&editor.model.card)?;
    edit.out.spare(&given.paths)?;
    if let Some(latents) = latents {
        check_place(latents)?;
        let ending = latents.extension().is_some_and(|ending| ending == "safetensors");
        ensure!(
            ending,
            "--latents {}: expected a name that ends in .safetensors",
            latents.display()
        );
        let taken = given.paths.iter().any(|image| same_place(image, latents));
        ensure!(!taken, "--latents {}: this file is read", latents.display());
    }
    let (images, names) = (given.images, given.names);
    let inputs = [images.bytes()];
    let job = editor.job(("invert", levels.to_string()), arguments, &inputs, names.len())?;
    let mut sheet = Sheet::of_rows(&names, &[("image", &images)], 1)?;
    sheet.columns = ["image", "noise", "again"].map(String::from).to_vec();
    let latents = latents.clone().map(|path| (path, Vec::new()));
    let inversion = way.inversion(&path);
    let mut task = Task { path, inversion, images, names, latents, errors: Vec::new() };
    editor.run(job, sheet, true, &mut task)
}

struct Task {
    path: Path,
    inversion: Inversion,
    images: Images,
    names: Vec<String>,
    latents: Option<(PathBuf, Vec<Tensor>)>,
    errors: Vec<Error>,
}

/// How far a reconstruction is from its image.
struct Error {
    /// Mean |difference|, in 0 to 255.
    mean: f64,
    /// Peak signal-to-noise ratio in dB.
    psnr: f64,
}

impl Error {
    /// - x, again: [C, H, W] in [-1, 1]
    fn between(x: &Tensor, again: &Tensor) -> Result<Self> {
        let difference = again.f_clamp(-1.0, 1.0)?.f_sub(x)?;
        let mean = |x: Tensor| x.f_mean(Kind::Double)?.f_double_value(&[]);
        let square = mean(difference.f_square()?)?;
        let mean = mean(difference.f_abs()?)? * 127.5;
        Ok(Self { mean, psnr: 10.0 * (4.0 / square).log10() })
    }
}

impl editor::Task for Task {
    fn steps(&self) -> usize {
        ways::inversion_steps(&self.path) + self.path.steps()
    }

    fn make(&mut self, at: &Ready, numbers: Range<usize>, on_step: &mut OnStep) -> Result<Made> {
        let x = at.tensor(&self.images.select(&numbers.clone().collect::<Vec<_>>())?)?;
        let model = at.predictor(numbers.len(), None);
        let start = x.shallow_clone();
        let noise = ddim_inversion(&model, &self.path, start, self.inversion, on_step)?;
        let start = noise.shallow_clone();
        let again = ddim(&model, &self.path, start, 0.0, &mut at.noise(&numbers), on_step)?;
        for row in 0..x.size()[0] {
            self.errors.push(Error::between(&x.f_get(row)?, &again.f_get(row)?)?);
        }
        // Half as bright, so that two standard deviations of noise are seen.
        let beside = Some(draw::images(&noise.f_mul_scalar(0.5)?)?);
        if let Some((_, all)) = &mut self.latents {
            all.push(noise.to_device(inkdrop_torch::tch::Device::Cpu));
        }
        Ok(Made { images: draw::images(&again)?, beside })
    }

    fn report(&mut self) -> Result<String> {
        let mut lines = Vec::new();
        if let Some((path, all)) = &self.latents {
            let mut weights = Weights::default();
            weights.insert("latents", Tensor::f_cat(all, 0)?);
            weights.set_metadata("images", &self.names)?;
            weights.save(path)?;
            lines.push(format!("the noise in {}", path.display()));
        }
        let named = self.names.iter().zip(&self.errors);
        lines.extend(named.map(|(name, Error { mean, psnr })| {
            format!("{name}: off by {mean:.2} of 255 on average, PSNR {psnr:.1} dB")
        }));
        Ok(lines.join("\n"))
    }
}
