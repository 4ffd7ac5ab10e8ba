//! `inkdrop sample`: images from a model.

use std::process::ExitCode;

use anyhow::Result;
use inkdrop_sampler::{Rng, SampleConfig, Sampler};
use inkdrop_schedule::Levels;
use inkdrop_unet::ModelConfig;
use serde::Serialize;
use serde_json::{Value, json};

use crate::making::film::Film;
use crate::making::guide::Guide;
use crate::making::job::{self, Job};
use crate::making::many;
use crate::making::output::Target;
use crate::making::request::Request;
use crate::making::shard::Shard;
use crate::making::stop::{Stop, Stoppable};
use crate::model::card::{Build, Card, Model};
use crate::model::context::Row;
use crate::options::{Asked, GuideOptions, ModelOptions, OutOptions, WalkOptions};

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
    /// How many images
    #[serde(skip)]
    #[arg(short = 'n', long, default_value_t = 16)]
    count: usize,
    /// How many at a time [default: 64; all with --rng torch, as the original draws them]
    #[arg(long)]
    batch: Option<usize>,
    /// Seed of all noise
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// per-sample: image i is the same whatever the batch; torch: the draws of torch.manual_seed
    #[arg(long, default_value = "per-sample")]
    rng: String,
    #[serde(skip)]
    #[command(flatten)]
    asked: Asked,
    #[serde(skip)]
    #[command(flatten)]
    out: OutOptions,
    /// Make part I of N, I from 0 to N-1: as 00123.png, … in one folder, or as x.I-of-N.npz
    #[serde(skip)]
    #[arg(long, value_name = "I/N")]
    shard: Option<Shard>,
    #[serde(flatten)]
    #[command(flatten)]
    walk: WalkOptions,
    #[serde(flatten)]
    #[command(flatten)]
    guide: GuideOptions,
    #[serde(flatten)]
    #[command(flatten)]
    model: ModelOptions,
}

/// Images at a time when nothing else is asked for.
const BATCH: usize = 64;

pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let model = arguments.model.find()?;
    let build = arguments.model.build(arguments.seed)?;
    if let (Some(way), true) = (&model.way, arguments.walk.is_usual()) {
        eprintln!("note: the folder's scheduler walks as {way} does");
    }
    let config = arguments.config(&model.card)?;
    config.check()?;
    config.levels.path(&model.card.process.schedule.build()?)?;
    let row = arguments.asked.row(&model.card)?;
    let (guide, weaker) = arguments.guide.guide(&model.card, &row, &arguments.model, &build)?;
    let job = arguments.job(&model, &config, &build, &row, weaker)?;
    let config = SampleConfig { images: job.images(), ..config };
    let (target, film) = (arguments.out.target(job, None)?, arguments.out.film()?);
    if let (Some(done), false) = (target.done(), film.wanted()) {
        eprintln!("{done}");
        return Ok(ExitCode::SUCCESS);
    }
    make(&model, &build, (&config, &guide), &row, film, target)
}

/// Makes what the target misses, and says where it is.
fn make(
    model: &Model,
    build: &Build,
    (config, guide): (&SampleConfig, &Guide),
    row: &Row,
    film: Film,
    target: Box<dyn Target>,
) -> Result<ExitCode> {
    let classes = row.class.into_iter().chain(guide.other_class()).collect();
    let steps = Some((config.levels.clone(), classes));
    let (network, process) = model.build(&Build { steps, ..build.clone() })?;
    let network = Stoppable::new(network, Stop::listen()?);
    let request = Request { network: &network, process: &process, card: &model.card, guide };
    many::fill(&network, film, target, |film, target| {
        many::make(&request, config, row, film, target)
    })
}

impl Arguments {
    fn config(&self, card: &Card) -> Result<SampleConfig> {
        let sampler = self.walk.sampler()?;
        let levels = self.walk.levels(sampler, card.process.schedule.steps())?;
        let rng: Rng = self.rng.parse()?;
        let batch = self.batch.unwrap_or(match rng {
            Rng::PerImage => BATCH,
            Rng::Torch => self.count.max(1),
        });
        let idle_draws = idle_draws(card, sampler, &levels)?;
        let images = 0..self.count;
        Ok(SampleConfig { images, batch, sampler, levels, seed: self.seed, rng, idle_draws })
    }

    /// What is to be made: the arguments, with what they stand for in place of names and defaults.
    fn job(
        &self,
        model: &Model,
        config: &SampleConfig,
        build: &Build,
        row: &Row,
        weaker: Value,
    ) -> Result<Job> {
        let [channels, height, width] = model.card.model.image_shape().map(|side| side as usize);
        let mut request = job::request(self, model, build, row, weaker)?;
        request["batch"] = json!(config.batch);
        request["levels"] = json!(config.levels.to_string());
        let job = Job {
            request,
            row: row.clone(),
            image: [height, width, channels],
            count: self.count,
            batch: config.batch,
            shard: self.shard,
            resumable: config.rng == Rng::PerImage,
            restart: false,
        };
        job.check()?;
        Ok(job)
    }
}

/// The draws that improved-diffusion makes without using them: one for the step that ends without
/// noise, and in DDIM without noise one for every step.
fn idle_draws(card: &Card, sampler: Sampler, levels: &Levels) -> Result<usize> {
    let improved =
        matches!(card.model, ModelConfig::Improved(_) | ModelConfig::ImprovedSuperRes(_));
    Ok(match sampler {
        Sampler::Ddim { eta: 0.0 } if improved => {
            levels.path(&card.process.schedule.build()?)?.steps()
        }
        Sampler::Ddpm | Sampler::Ddim { .. } if improved => 1,
        _ => 0,
    })
}
