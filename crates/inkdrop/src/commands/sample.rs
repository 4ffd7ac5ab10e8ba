//! `inkdrop sample`: images from a model.

use std::process::ExitCode;

use anyhow::Result;
use inkdrop_sampler::{BatchSteps, Rng, SampleBatches, SampleConfig, Sampler};
use inkdrop_schedule::{LevelSpacing, SamplingSchedule};
use inkdrop_unet::ModelConfig;
use serde::Serialize;
use serde_json::{Value, json};

use crate::model::condition::Condition;
use crate::model::metadata::{Build, Model, ModelMetadata};
use crate::options::{
    ConditionArgs, GuidanceArgs, ModelArgs, OutputArgs, ResolvedSampler, SamplerArgs,
};
use crate::sampling::draw;
use crate::sampling::job::{self, SamplingJob, Shard};
use crate::sampling::runner::Run;
use crate::sampling::session::{Conditions, SamplingSession};

/// Help text: how to concatenate the archives of all shards.
const CONCATENATE: &str = "To concatenate the archives of --shard 0/4 to 3/4 in Python:
  p = [np.load(f\"x.{i}-of-4.npz\") for i in range(4)]
  np.savez(\"x.npz\", **{k: np.concatenate([a[k] for a in p]) for k in p[0]})\n";

/// Sample images from a model
///
/// The number of images in a directory or an npz file is unlimited: they are written
/// batch by batch, and the same command continues a run that was stopped.
#[derive(Debug, clap::Args, Serialize)]
#[command(after_help = CONCATENATE)]
pub struct Arguments {
    // The serialised arguments are the request that a manifest stores and compares. Skipped fields
    // change no image, or are added in `Arguments::job`.
    /// Number of images
    #[serde(skip)]
    #[arg(short = 'n', long, default_value_t = 16)]
    count: usize,
    /// Batch size [default: 64; with --rng torch all images, as in PyTorch programs]
    #[arg(long)]
    batch: Option<usize>,
    /// Random seed
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Random number generator. per-sample: one generator per image, so image i is the same in any
    /// batch; torch: one generator for all images, as torch.manual_seed
    #[arg(long, default_value = "per-sample")]
    rng: String,
    #[serde(skip)]
    #[command(flatten)]
    condition: ConditionArgs,
    #[serde(skip)]
    #[command(flatten)]
    output: OutputArgs,
    /// Generate shard I of N, I from 0 to N-1: 00123.png, … in one directory, or x.I-of-N.npz
    #[serde(skip)]
    #[arg(long, value_name = "I/N")]
    shard: Option<Shard>,
    #[serde(flatten)]
    #[command(flatten)]
    sampler: SamplerArgs,
    #[serde(flatten)]
    #[command(flatten)]
    guidance: GuidanceArgs,
    #[serde(flatten)]
    #[command(flatten)]
    model: ModelArgs,
}

/// Default batch size.
const BATCH: usize = 64;

pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let model = arguments.model.find()?;
    let mut build = arguments.model.build(arguments.seed)?;
    if let (Some(hint), true) = (&model.scheduler_hint, arguments.sampler.is_default()) {
        eprintln!("note: the scheduler of this directory corresponds to {hint}");
    }
    let (spacing, config) = arguments.config(&model.metadata)?;
    config.check()?;
    let condition = arguments.condition.condition(&model.metadata)?;
    let (guidance, weaker) =
        arguments.guidance.guidance(&model.metadata, &condition, &arguments.model, &build)?;
    let job = arguments.job(&model, weaker.as_ref(), (&spacing, &config), &build, &condition)?;
    let config = SampleConfig { images: job.images(), ..config };
    let (sink, animation) = (arguments.output.sink(job, None)?, arguments.output.animation()?);
    if let (Some(done), false) = (sink.done(), animation.wanted()) {
        eprintln!("{done}");
        return Ok(ExitCode::SUCCESS);
    }
    let classes = condition.class.into_iter().chain(guidance.uncond_class()).collect();
    build.schedule = Some((config.schedule.clone(), classes));
    let (network, process) = model.build(&build)?;
    let session = SamplingSession {
        network: network.as_ref(),
        process: &process,
        metadata: &model.metadata,
        guidance: &guidance,
        conditions: Conditions::Same(&condition),
    };
    let mut run = Run::begin(sink, animation, (config.images.clone(), config.batch), false)?;
    for images in run.ranges() {
        let mut batches = SampleBatches::new(&session, SampleConfig { images, ..config.clone() })?;
        while let Some(batch) = batches.next_steps()? {
            let BatchSteps { images, steps } = batch;
            run.start_batch(steps.len());
            let x = run.drive(images.len(), steps)?;
            run.push(images, draw::images(&x)?)?;
        }
    }
    run.finish()
}

impl Arguments {
    /// The noise levels by name, and the config of the run.
    fn config(&self, metadata: &ModelMetadata) -> Result<(LevelSpacing, SampleConfig)> {
        let ResolvedSampler { sampler, spacing, schedule } = self.sampler.resolve(metadata)?;
        let rng: Rng = self.rng.parse()?;
        let batch = self.batch.unwrap_or(match rng {
            Rng::PerImage => BATCH,
            Rng::Torch => self.count.max(1),
        });
        let discarded_draws = discarded_draws(metadata, sampler, &schedule);
        let (images, seed) = (0..self.count, self.seed);
        let config = SampleConfig { images, batch, sampler, schedule, seed, rng, discarded_draws };
        Ok((spacing, config))
    }

    fn job(
        &self,
        model: &Model,
        weaker: Option<&Model>,
        (spacing, config): (&LevelSpacing, &SampleConfig),
        build: &Build,
        condition: &Condition,
    ) -> Result<SamplingJob> {
        let [channels, height, width] =
            model.metadata.model.image_shape().map(|side| side as usize);
        let mut request = Value::Null;
        if self.output.keeps_manifest() {
            request = job::request(self, model, weaker, build, condition)?;
            request["batch"] = json!(config.batch);
            request["levels"] = json!(spacing.to_string());
        }
        let job = SamplingJob {
            request,
            condition: condition.clone(),
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

/// The draws that improved-diffusion makes without using them: one for the last step of an ancestral
/// sampler, and one for every step of deterministic DDIM.
fn discarded_draws(
    metadata: &ModelMetadata,
    sampler: Sampler,
    schedule: &SamplingSchedule,
) -> usize {
    let improved =
        matches!(metadata.model, ModelConfig::Improved(_) | ModelConfig::ImprovedSuperRes(_));
    match sampler {
        Sampler::Ddim { eta: 0.0 } if improved => schedule.len(),
        Sampler::Ddpm | Sampler::Ddim { .. } if improved => 1,
        _ => 0,
    }
}
