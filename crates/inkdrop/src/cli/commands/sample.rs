//! `inkdrop sample`: images from a model.

use anyhow::Result;
use inkdrop::data::Images;
use inkdrop::sampler::BatchSteps;
use inkdrop::{Pipeline, Rng, SamplingPlan};
use serde::Serialize;
use serde_json::{Value, json};

use crate::options::{
    ConditionArgs, GuidanceArgs, ImageConditionArgs, ModelArgs, OutputArgs, SamplerArgs,
    image_condition, process_shard,
};
use crate::output::job::{self, SamplingJob, Shard};
use crate::output::run::Run;

/// Default number of images.
const COUNT: usize = 16;

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
    /// Number of images [default: 16, or one for each image of --condition]
    #[serde(skip)]
    #[arg(short = 'n', long)]
    count: Option<usize>,
    /// Batch size [default: 64; with --rng torch all images, as in PyTorch programs]
    #[arg(long)]
    batch: Option<usize>,
    /// Random seed
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Random number generator. per-sample: one generator per image, so image i is the same in any
    /// batch; brownian-tree: the same, with one path of noise for any number of steps of a stochastic
    /// sampler; torch: one generator for all images, as torch.manual_seed
    #[arg(long, default_value = "per-sample")]
    rng: String,
    #[serde(skip)]
    #[command(flatten)]
    condition: ConditionArgs,
    #[serde(skip)]
    #[command(flatten)]
    images: ImageConditionArgs,
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

pub fn run(arguments: &Arguments) -> Result<u8> {
    let (pipeline, given) = arguments.pipeline()?;
    arguments.output.check_inputs(&arguments.images.files())?;
    arguments.output.check_models(&arguments.model, &arguments.guidance)?;
    let count = arguments.count.unwrap_or(given.as_ref().map_or(COUNT, Images::len));
    let plan = pipeline.plan()?;
    if plan.scheduler.is_some() {
        eprintln!("sampling as scheduler_config.json says: {}", plan.spacing);
    }
    let config = plan.sample_config(0..count);
    config.check()?;
    let mut job = arguments.job(&pipeline, &plan, (count, config.batch))?;
    if let (Some(images), Value::Object(request)) = (&given, &mut job.request) {
        request.insert("inputs".to_string(), image_condition::identity(images));
    }
    let (images, batch) = (job.images(), job.batch);
    let sink = arguments.output.sink(job, None)?;
    let animation = arguments.output.animation(pipeline.rounding())?;
    if let (Some(done), false) = (sink.done(), animation.wanted()) {
        eprintln!("{done}");
        return Ok(0);
    }
    let session = plan.start()?;
    let mut run = Run::begin(sink, animation, (images, batch), false)?;
    for images in run.ranges() {
        let mut batches = session.batches(images)?;
        while let Some(batch) = batches.next_steps()? {
            let BatchSteps { images, steps } = batch;
            run.start_batch(steps.len());
            let x = run.drive(images.len(), steps)?;
            run.push(images, session.to_images(&x)?)?;
        }
    }
    run.finish()
}

impl Arguments {
    /// The pipeline, and the images that it is conditioned on.
    fn pipeline(&self) -> Result<(Pipeline, Option<Images>)> {
        let pipeline = self.model.open(self.seed)?.seed(self.seed).rng(self.rng.parse()?);
        let problem = pipeline.model().and_then(|model| model.scheduler_problem.as_ref());
        if let Some(problem) = problem {
            eprintln!("note: the scheduler of this directory is not followed: {problem}");
        }
        let pipeline = self.condition.apply(self.sampler.apply(pipeline)?)?;
        let pipeline = self.guidance.apply(pipeline, &self.model, self.seed)?;
        let pipeline = match self.batch {
            Some(batch) => pipeline.batch(batch),
            None => pipeline,
        };
        self.images.apply(pipeline)
    }

    fn job(
        &self,
        pipeline: &Pipeline,
        plan: &SamplingPlan<'_>,
        (count, batch): (usize, usize),
    ) -> Result<SamplingJob> {
        let mut request = Value::Null;
        if self.output.keeps_manifest() {
            request = job::request(self, pipeline, &plan.conditions)?;
            request["batch"] = json!(batch);
            request["levels"] = json!(plan.spacing);
            request["sampler"] = match plan.scheduler {
                Some(run) => run.identity(),
                None => json!(plan.sampler.to_string()),
            };
        }
        let job = SamplingJob {
            request,
            conditions: plan.conditions.clone(),
            image: job::image_form(pipeline.metadata()),
            count,
            batch,
            shard: process_shard(self.shard)?,
            resumable: self.rng.parse::<Rng>()? != Rng::Torch,
            restart: false,
        };
        job.check()?;
        Ok(job)
    }
}
