//! `inkdrop edit invert`: DDIM inversion, and reconstruction from the noise.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use inkdrop::checkpoint::StateDict;
use inkdrop::data::Images;
use inkdrop::torch::tch::{Device, Kind, Tensor};
use serde::Serialize;

use super::inversion::{InversionArgs, inversion_steps};
use super::session::{self, EditBatch, EditOutput, EditRun};
use crate::options::{EditArgs, InputArgs, ModelArgs};
use crate::output::contact_sheet::ContactSheet;
use crate::output::sink::{check_place, same_place};

/// Invert images to noise, and reconstruct them (DDIM inversion)
#[derive(Debug, clap::Args, Serialize)]
pub struct Arguments {
    #[serde(flatten)]
    #[command(flatten)]
    model: ModelArgs,
    #[serde(flatten)]
    #[command(flatten)]
    input: InputArgs,
    #[serde(flatten)]
    #[command(flatten)]
    inversion: InversionArgs,
    /// Write the noise to a safetensors file, as `latents` [N, C, H, W]
    #[serde(skip)]
    #[arg(long, value_name = "PATH")]
    latents: Option<PathBuf>,
    #[serde(flatten)]
    #[command(flatten)]
    edit: EditArgs,
}

pub fn run(arguments: &Arguments) -> Result<u8> {
    let Arguments { model, input, inversion, latents, edit } = arguments;
    let pipeline = session::pipeline(edit, model, model.open(edit.seed)?, |_| false)?;
    let pipeline = inversion.apply(pipeline);
    let edit = EditRun { options: edit, pipeline: &pipeline, plan: pipeline.inversion_plan()? };
    let given = input.read(pipeline.metadata())?;
    edit.options.output.check_inputs(&given.paths)?;
    if let Some(latents) = latents {
        check_place(latents)?;
        let ending = latents.extension().is_some_and(|ending| ending == "safetensors");
        ensure!(
            ending,
            "--latents {}: expected a name that ends in .safetensors",
            latents.display()
        );
        let inputs = given.paths.iter().map(PathBuf::as_path).chain([Path::new(model.name())]);
        let taken = inputs.into_iter().any(|input| same_place(input, latents));
        ensure!(!taken, "--latents {}: this file is an input", latents.display());
    }
    let (images, names) = (given.images, given.names);
    let job = edit.job("invert", arguments, (Some(&images), &[]), names.len())?;
    let mut sheet = ContactSheet::of_rows(&names, &[("image", &images)], 1)?;
    sheet.columns = ["image", "noise", "reconstruction"].map(String::from).to_vec();
    let latents = latents.clone().map(|path| (path, Vec::new()));
    let (steps, refine) = (edit.plan.schedule.len(), inversion.refine);
    let mut task = Task { steps, refine, images, names, latents, errors: Vec::new() };
    edit.run(job, sheet, true, &mut task)
}

struct Task {
    steps: usize,
    refine: usize,
    images: Images,
    names: Vec<String>,
    latents: Option<(PathBuf, Vec<Tensor>)>,
    errors: Vec<Error>,
}

/// Error of a reconstruction.
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

impl session::Task for Task {
    fn steps(&self) -> usize {
        inversion_steps(self.steps) + self.steps
    }

    fn edit(&mut self, mut batch: EditBatch<'_, '_>) -> Result<EditOutput> {
        let (session, indices) = (batch.session, batch.indices.clone());
        let x = batch.tensor(&self.images.select(&batch.sources(1))?)?;
        let noise = batch.drive(session.invert(indices.clone(), &x, self.refine)?)?;
        let again = batch.drive(session.generate_from(indices, &noise)?)?;
        for row in 0..x.size()[0] {
            self.errors.push(Error::between(&x.f_get(row)?, &again.f_get(row)?)?);
        }
        // Halved, so that two standard deviations of noise are visible.
        let beside = Some(session.to_images(&noise.f_mul_scalar(0.5)?)?);
        if let Some((_, all)) = &mut self.latents {
            all.push(noise.to_device(Device::Cpu));
        }
        Ok(EditOutput { images: session.to_images_in(&again, batch.depth)?, beside })
    }

    fn report(&mut self) -> Result<String> {
        let mut lines = Vec::new();
        if let Some((path, all)) = &self.latents {
            let mut weights = StateDict::default();
            weights.insert("latents", Tensor::f_cat(all, 0)?);
            weights.set_metadata("images", &self.names)?;
            weights.save(path)?;
            lines.push(format!("noise in {}", path.display()));
        }
        let named = self.names.iter().zip(&self.errors);
        lines.extend(named.map(|(name, Error { mean, psnr })| {
            format!("{name}: mean error {mean:.2} of 255, PSNR {psnr:.1} dB")
        }));
        Ok(lines.join("\n"))
    }
}
