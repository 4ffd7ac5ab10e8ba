//! `inkdrop sample`: images from a model.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, ensure};
use inkdrop_sampler::{Rng, SampleConfig, Sampler};
use inkdrop_torch::DeviceChoice;
use inkdrop_torch::tch::Device;
use inkdrop_unet::ImageSize;
use serde::Serialize;
use serde_json::json;

use crate::card::{Build, Card, Model, precision};
use crate::context::Row;
use crate::film::{self, Film};
use crate::foreign::Foreign;
use crate::job::Job;
use crate::output::{Output, Target};
use crate::request::Request;
use crate::shard::Shard;
use crate::stop::{INTERRUPTED, Stop, Stoppable};
use crate::{identity, many};

/// How the archives of all parts become one.
const JOIN: &str = "The archives of --shard 0/4 to 3/4 as one, in Python:
  p = [np.load(f\"x.{i}-of-4.npz\") for i in range(4)]
  np.savez(\"x.npz\", **{k: np.concatenate([a[k] for a in p]) for k in p[0]})\n";

/// Sample images from a model
///
/// A folder or an npz file may be of any number of images: they are written
/// batch by batch, and a run that was stopped or killed goes on when the same
/// command is given again.
#[derive(Debug, clap::Args, Serialize)]
#[command(after_help = JOIN)]
pub struct Arguments {
    // Serialised, the arguments are the request that samples are compared with when a run goes on.
    // What is skipped changes no image, or is in `Arguments::job`.
    /// A file of weights, a diffusers folder, or the built-in model `sprites`
    #[serde(skip)]
    model: String,
    /// How many images
    #[serde(skip)]
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
    #[serde(skip)]
    #[arg(long, default_value = "samples.png")]
    out: Output,
    /// Begin anew where --out holds samples: numbered PNG files or an unfinished npz are removed
    #[serde(skip)]
    #[arg(long)]
    restart: bool,
    /// Make part I of N, I from 0 to N-1: as 00123.png, … in one folder, or as x.I-of-N.npz
    #[serde(skip)]
    #[arg(long, value_name = "I/N")]
    shard: Option<Shard>,
    /// Also an animation of the denoising (of the first batch, 64 images at most): x.gif, or
    /// x.apng or x.png in all colours
    #[serde(skip)]
    #[arg(long, visible_alias = "gif", value_name = "PATH")]
    film: Option<PathBuf>,
    /// What the animation shows after each step
    #[serde(skip)]
    #[arg(long, value_enum, default_value_t, requires = "film")]
    film_of: film::Of,
    /// Where to compute: auto, cpu, cuda or cuda:N
    #[serde(skip)]
    #[arg(long, default_value_t)]
    device: DeviceChoice,
    /// Size of the images, height x width [default: that of the network]
    #[serde(skip)]
    #[arg(long, value_name = "HxW")]
    size: Option<ImageSize>,
    /// f32, or bf16 or f16 for the convolutions (norms, embeddings and the last layer stay f32)
    #[arg(long, default_value = "f32")]
    precision: String,
    /// Draw init_conv.shortcut from the seed, for a notebook checkpoint that has none
    #[arg(long)]
    draw_shortcut: bool,
    #[serde(skip)]
    #[command(flatten)]
    foreign: Foreign,
}

/// Images at a time when nothing else is asked for.
const BATCH: usize = 64;

/// DDIM's steps when none are asked for.
const DDIM_STEPS: usize = 50;

pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let Arguments { draw_shortcut, seed, .. } = *arguments;
    let (device, torso) = (arguments.device.resolve()?, precision(&arguments.precision)?);
    let build = Build { device, torso, draw_shortcut, seed };
    let mut model = Model::find(&arguments.model, &arguments.foreign)?;
    if let Some(size) = arguments.size {
        model.card.model.resize(size)?;
        model.card.model.plan()?;
    }
    let config = arguments.config(&model.card)?;
    config.check(model.card.process.schedule.steps())?;
    let row = arguments.row(&model.card)?;
    let job = arguments.job(&model, &config, device, &row)?;
    let config = SampleConfig { images: job.images(), ..config };
    let (target, film) = (arguments.out.target(job)?, arguments.film()?);
    if let (Some(done), false) = (target.done(), film.wanted()) {
        eprintln!("{done}");
        return Ok(ExitCode::SUCCESS);
    }
    make(&model, &build, &config, &row, film, target)
}

/// Makes what the target misses, and says where it is.
fn make(
    model: &Model,
    build: &Build,
    config: &SampleConfig,
    row: &Row,
    mut film: Film,
    mut target: Box<dyn Target>,
) -> Result<ExitCode> {
    let (network, process) = model.build(build)?;
    let network = Stoppable::new(network, Stop::listen()?);
    let request = Request { network: &network, process: &process, card: &model.card };
    match many::make(&request, config, row, &mut film, target.as_mut()) {
        Err(_) if network.stopped() => {
            eprintln!("stopped: {}", target.stopped());
            return Ok(ExitCode::from(INTERRUPTED));
        }
        made => made?,
    }
    let mut made = target.finish()?;
    if let Some(path) = film.write()? {
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
        Ok(SampleConfig { images: 0..self.count, batch, sampler, steps, seed: self.seed, rng })
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

    /// What is to be made: the arguments, with what they stand for in place of names and defaults.
    fn job(&self, model: &Model, config: &SampleConfig, device: Device, row: &Row) -> Result<Job> {
        let [channels, height, width] = model.card.model.image_shape().map(|side| side as usize);
        let mut request = serde_json::to_value(self)?;
        request["model"] = identity::of(model)?;
        request["size"] = json!([height, width]);
        request["device"] = json!(if device.is_cuda() { "cuda" } else { "cpu" });
        request["batch"] = json!(config.batch);
        request["steps"] = json!(config.steps.unwrap_or(model.card.process.schedule.steps()));
        let job = Job {
            request,
            row: row.clone(),
            image: [height, width, channels],
            count: self.count,
            batch: config.batch,
            shard: self.shard,
            resumable: config.rng == Rng::PerImage,
            restart: self.restart,
        };
        job.check()?;
        Ok(job)
    }

    fn film(&self) -> Result<Film> {
        let Some(path) = &self.film else { return Ok(Film::none()) };
        Film::check(path, self.out.path())?;
        Ok(Film::new(path.clone(), self.film_of, Vec::new()))
    }
}
