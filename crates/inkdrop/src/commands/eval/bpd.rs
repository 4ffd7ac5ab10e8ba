//! `inkdrop eval bpd`: how many bits a model takes for images (improved-diffusion's calc_bpd_loop).

use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};
use indicatif::ProgressBar;
use inkdrop_data::Images;
use inkdrop_nn::{Conditioning, Network, NetworkError};
use inkdrop_process::{Process, bits_per_dim, pixels};
use inkdrop_schedule::Spacing;
use inkdrop_torch::PerImageNoise;
use inkdrop_torch::tch::{Device, Kind, Tensor};
use serde_json::{Value, json};

use super::conditions::Conditions;
use super::figures::{Figures, mean};
use crate::making::guide::Guide;
use crate::making::request::Request;
use crate::making::stop::{INTERRUPTED, Stop, Stoppable};
use crate::model::card::{Card, Model};
use crate::model::context::Row;
use crate::model::identity;
use crate::options::{Found, ImageSet, ModelOptions};
use crate::progress;
use crate::say::{entry, say};

/// Bits per dimension of images under a model: the variational bound
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    model: ModelOptions,
    /// sprites or sprites:SEED:COUNT, an .npz or .npy file, a folder of pictures, CIFAR-10's
    /// .bin file or folder, or an IDX file; labels are read with it
    data: ImageSet,
    /// Fit the pictures of a folder to the model's size, as training with data.size does
    #[arg(long)]
    fit: bool,
    /// How many images, evenly spread over the data [default: all]
    #[arg(long, value_name = "N")]
    images: Option<usize>,
    /// Images at a time
    #[arg(long, default_value_t = 64)]
    batch: usize,
    /// The process in fewer steps: 50, ddim50, trailing50, … [default: all of its steps]
    #[arg(long, value_name = "SPACING")]
    steps: Option<Spacing>,
    /// Seed of the noise; image i gets the same whatever the batch
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// The class of all images, in place of the data's labels: a number, or a context's name
    #[arg(long, value_name = "N|NAME")]
    class: Option<String>,
    /// As JSON, with every step
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    ensure!(arguments.batch > 0, "--batch 0: expected at least 1");
    let model = arguments.model.find()?;
    let build = arguments.model.build(arguments.seed)?;
    let shape = model.card.model.image_shape().map(|side| side as usize);
    ensure!(
        !arguments.fit || shape[1] == shape[2],
        "--fit: the model draws {} x {}, expected a square",
        shape[1],
        shape[2]
    );
    let found = arguments.data.load(shape[0], arguments.fit.then_some(shape[1]))?;
    let (images, conditions) = arguments.images(&model, &found, shape)?;
    let (network, process) = model.build(&build)?;
    let process = match &arguments.steps {
        Some(spacing) => process.respaced(spacing).context("--steps")?,
        None => process,
    };
    let bar = progress::bar(images.len() * process.schedule().steps(), "image steps");
    let network = Counted { network: Stoppable::new(network, Stop::listen()?), bar };
    let measured = Measuring { card: &model.card, process: &process, network: &network };
    let figures = measured.all(arguments, &images, &conditions)?;
    let (done, wanted) = (figures.totals.len(), images.len());
    ensure!(done > 0, "stopped before the first batch was done");
    say(&match arguments.json {
        true => {
            let mut json = arguments.json(&figures, &process, &conditions);
            json["weights"] = identity::of(&model)?["weights"].take();
            serde_json::to_string_pretty(&json)?
        }
        false => arguments.text(&figures, &process, &conditions, shape),
    })?;
    if network.network.stopped() {
        eprintln!("stopped: these are the first {done} of {wanted} images");
        return Ok(ExitCode::from(INTERRUPTED));
    }
    Ok(ExitCode::SUCCESS)
}

impl Arguments {
    /// The images that are measured, and what the model is told about each.
    fn images(
        &self,
        model: &Model,
        Found { data, classes }: &Found,
        [channels, height, width]: [usize; 3],
    ) -> Result<(Images, Conditions)> {
        let given = [data.images.height(), data.images.width(), data.images.channels()];
        ensure!(
            given == [height, width, channels],
            "{} has images of {} x {} x {} (height, width, channels), the model draws {height} x {width} x {channels}: give data of that size, --fit the pictures of a folder, or name another --size if the network takes it",
            self.data,
            given[0],
            given[1],
            given[2]
        );
        let all = data.len();
        let count = self.images.unwrap_or(all);
        ensure!(
            (1..=all).contains(&count),
            "--images {count}: expected 1 to {all}, which {} has",
            self.data
        );
        let indices: Vec<usize> = (0..count).map(|i| i * all / count).collect();
        let fixed = self.class.as_ref().map(|name| Row::class(&model.card, name)).transpose()?;
        let conditions = Conditions::of(&model.card, (&data.labels, classes), &indices, fixed)?;
        Ok((data.images.select(&indices)?, conditions))
    }

    fn json(&self, figures: &Figures, process: &Process, told: &Conditions) -> Value {
        let vb = figures.per_step(&figures.bound);
        json!({
            "bits_per_dim": mean(&figures.totals),
            "standard_error": figures.standard_error(),
            "prior": mean(&figures.priors),
            "vb": vb.iter().sum::<f64>(),
            "mse": mean(&figures.per_step(&figures.eps_mse)),
            "xstart_mse": mean(&figures.per_step(&figures.x0_mse)),
            "images": figures.totals.len(),
            "data": self.data.to_string(),
            "told": told.told,
            "seed": self.seed,
            "steps": process.kept(),
            "of_steps": process.config().schedule.steps(),
            "per_step": {
                "vb": vb,
                "mse": figures.per_step(&figures.eps_mse),
                "xstart_mse": figures.per_step(&figures.x0_mse),
            },
        })
    }

    fn text(
        &self,
        figures: &Figures,
        process: &Process,
        told: &Conditions,
        [channels, height, width]: [usize; 3],
    ) -> String {
        let vb = figures.per_step(&figures.bound);
        let steps = (process.schedule().steps(), process.config().schedule.steps());
        let error =
            figures.standard_error().map_or(String::new(), |error| format!(" ± {error:.5}"));
        let lines = [
            (
                "images",
                format!(
                    "{} of {}, {height} x {width} x {channels}",
                    figures.totals.len(),
                    self.data
                ),
            ),
            ("steps", format!("{} of {}", steps.0, steps.1)),
            ("told", told.told.to_string()),
            ("NLL", format!("{:.5}{error} bits/dim", mean(&figures.totals))),
            (
                "  vb",
                format!(
                    "{:.5}, of which {:.5} at t = 0 (the pixels themselves)",
                    vb.iter().sum::<f64>(),
                    vb.first().copied().unwrap_or_default()
                ),
            ),
            ("  prior", format!("{:.5}", mean(&figures.priors))),
            (
                "mse",
                format!(
                    "{:.6} of the noise, mean over steps",
                    mean(&figures.per_step(&figures.eps_mse))
                ),
            ),
            ("xstart_mse", format!("{:.6} of the image", mean(&figures.per_step(&figures.x0_mse)))),
        ];
        lines.iter().map(|(key, text)| entry(key, text)).collect::<Vec<_>>().join("\n")
    }
}

/// A model at work on its data.
struct Measuring<'a> {
    card: &'a Card,
    process: &'a Process,
    network: &'a Counted,
}

impl Measuring<'_> {
    /// Measures batch by batch; Ctrl-C keeps the batches that are done.
    fn all(self, arguments: &Arguments, images: &Images, told: &Conditions) -> Result<Figures> {
        let mut figures = Figures::new(self.process.schedule().steps());
        let starts = (0..images.len()).step_by(arguments.batch);
        for range in starts.map(|start| start..(start + arguments.batch).min(images.len())) {
            let part: Vec<usize> = range.clone().collect();
            let shape = [part.len(), images.height(), images.width(), images.channels()];
            let part = images.select(&part)?;
            let x0 = pixels::to_tensor(
                part.bytes(),
                shape.map(|side| side as i64),
                self.process.device(),
            )?;
            let mut noise =
                PerImageNoise::new(arguments.seed, range.start as u64..range.end as u64);
            let guide = Guide::none();
            let (network, process, card) = (self.network, self.process, self.card);
            let request = Request { network, process, card, guide: &guide };
            let asked = request.conditioning(told.rows[range.clone()].iter());
            match bits_per_dim(process, network, &x0, &asked, &mut noise) {
                Err(_) if network.network.stopped() => break,
                measured => figures.add(&measured?)?,
            }
            let bad = figures.totals.iter().position(|bits| !bits.is_finite());
            if let Some(image) = bad {
                bail!(
                    "image {image} has {} bits per dimension: the model gives no numbers for it; look at its weights with `inkdrop inspect --stats`",
                    figures.totals[image]
                );
            }
            self.network.bar.set_message(format!("{:.4} bits/dim", mean(&figures.totals)));
        }
        self.network.bar.finish_and_clear();
        Ok(figures)
    }
}

/// A network that counts its passes on a bar.
struct Counted {
    network: Stoppable,
    bar: ProgressBar,
}

impl Network for Counted {
    fn forward(
        &self,
        x: &Tensor,
        t: &Tensor,
        conditioning: &Conditioning,
    ) -> Result<Tensor, NetworkError> {
        let out = self.network.forward(x, t, conditioning)?;
        self.bar.inc(x.size().first().copied().unwrap_or(0) as u64);
        Ok(out)
    }

    fn device(&self) -> Device {
        self.network.device()
    }

    fn kind(&self) -> Kind {
        self.network.kind()
    }
}
