//! `inkdrop sample`: images from a model.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Result, ensure};
use inkdrop_sampler::{Rng, SampleConfig, Sampler};
use inkdrop_torch::DeviceChoice;
use inkdrop_unet::ImageSize;

use crate::card::{Build, Card, Model, precision};
use crate::context::Row;
use crate::film::Film;
use crate::foreign::Foreign;
use crate::output::{Output, Writer, check_place};
use crate::request::Request;

/// Sample images from a model
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// A file of weights, a diffusers folder, or the built-in model `sprites`
    model: String,
    /// How many images
    #[arg(short = 'n', long, default_value_t = 16)]
    count: usize,
    /// How many at a time [default: 64; all with --rng torch, as the original draws them]
    #[arg(long)]
    batch: Option<usize>,
    /// ddpm (all steps unless --steps says otherwise) or ddim (50 steps)
    #[arg(long, default_value = "ddim")]
    sampler: String,
    /// Network calls per image, 1 to the model's number of steps
    #[arg(long)]
    steps: Option<usize>,
    /// Seed of all noise
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// per-sample: image i is the same whatever the batch; torch: the draws of torch.manual_seed
    #[arg(long, default_value = "per-sample")]
    rng: String,
    /// Weights of the contexts, such as hero=1,food=0.6
    #[arg(long, conflicts_with = "class", value_name = "NAME=W,…")]
    context: Option<String>,
    /// One class: a number where the model knows classes, else short for --context NAME=1
    #[arg(long, value_name = "N|NAME")]
    class: Option<String>,
    /// Where to: x.png (a grid), x.npz or a folder/ (a PNG each)
    #[arg(long, default_value = "samples.png")]
    out: Output,
    /// Also an animation of the denoising (of the first batch)
    #[arg(long)]
    gif: Option<PathBuf>,
    /// Where to compute: auto, cpu, cuda or cuda:N
    #[arg(long, default_value_t)]
    device: DeviceChoice,
    /// Size of the images, height x width [default: that of the network]
    #[arg(long, value_name = "HxW")]
    size: Option<ImageSize>,
    /// f32, or bf16 or f16 for the convolutions (norms, embeddings and the last layer stay f32)
    #[arg(long, default_value = "f32")]
    precision: String,
    /// Draw init_conv.shortcut from the seed, for a notebook checkpoint that has none
    #[arg(long)]
    draw_shortcut: bool,
    #[command(flatten)]
    foreign: Foreign,
}

/// Images at a time when nothing else is asked for.
const BATCH: usize = 64;

/// DDIM's steps when none are asked for.
const DDIM_STEPS: usize = 50;

pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let device = arguments.device.resolve()?;
    let torso = precision(&arguments.precision)?;
    let mut model = Model::find(&arguments.model, &arguments.foreign)?;
    if let Some(size) = arguments.size {
        model.card.model.resize(size)?;
        model.card.model.plan()?;
    }
    let config = arguments.config(&model.card)?;
    config.check(model.card.process.schedule.steps())?;
    let row = arguments.row(&model.card)?;
    arguments.gif.as_deref().map(check_gif).transpose()?;
    let mut writer = Writer::new(arguments.out.clone(), row.clone(), arguments.count)?;

    let Arguments { draw_shortcut, seed, .. } = *arguments;
    let (network, process) = model.build(&Build { device, torso, draw_shortcut, seed })?;
    let mut film = Film::new(arguments.gif.is_some(), config.batch.min(config.count), vec![]);
    let request = Request { network: network.as_ref(), process: &process, card: &model.card };
    let bar = request.bar(&config);
    request.sample(&config, &|_| &row, &mut film, &bar, |images| writer.push(images))?;
    let mut made = writer.finish()?;
    if let Some(path) = &arguments.gif {
        film.write(path)?;
        made += &format!(", the denoising in {}", path.display());
    }
    eprintln!("{made}");
    Ok(ExitCode::SUCCESS)
}

impl Arguments {
    fn config(&self, card: &Card) -> Result<SampleConfig> {
        let sampler: Sampler = self.sampler.parse()?;
        let learns = card.model.outputs() != card.model.image_shape()[0];
        ensure!(
            !learns || sampler == Sampler::Ddim,
            "this model learns its variance, which --sampler ddpm does not use yet: expected ddim, which needs none"
        );
        let all = card.process.schedule.steps();
        let steps = match sampler {
            Sampler::Ddim => Some(self.steps.unwrap_or(DDIM_STEPS.min(all))),
            Sampler::Ddpm => self.steps,
        };
        let rng: Rng = self.rng.parse()?;
        let batch = self.batch.unwrap_or(match rng {
            Rng::PerImage => BATCH,
            Rng::Torch => self.count.max(1),
        });
        Ok(SampleConfig { count: self.count, batch, sampler, steps, seed: self.seed, rng })
    }

    fn row(&self, card: &Card) -> Result<Row> {
        match (&self.context, &self.class) {
            (Some(text), _) => Row::parse(card, text),
            (None, Some(name)) => Row::class(card, name),
            (None, None) => {
                let count = card.model.classes().unwrap_or(0);
                ensure!(
                    count == 0,
                    "this model draws images of {count} classes: say which with --class N, from 0 to {}",
                    count - 1
                );
                Ok(Row::none(card))
            }
        }
    }
}

/// Makes sure that an animation can be written.
fn check_gif(path: &Path) -> Result<()> {
    let gif = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("gif"));
    ensure!(gif, "--gif {}: expected a name that ends in .gif", path.display());
    check_place(path)
}
