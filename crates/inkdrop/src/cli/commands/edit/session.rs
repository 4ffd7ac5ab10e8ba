//! The common part of all editing commands: model, job, and a loop over batches.

use std::ops::Range;

use anyhow::{Result, ensure};
use inkdrop::data::Images;
use inkdrop::model::sha256;
use inkdrop::process::pixels;
use inkdrop::sampler::SamplingSteps;
use inkdrop::torch::tch::{Device, Tensor};
use inkdrop::{Pipeline, SamplingPlan, SamplingSession};
use serde::Serialize;
use serde_json::{Value, json};

use crate::options::{EditArgs, ModelArgs};
use crate::output::contact_sheet::ContactSheet;
use crate::output::job::{self, SamplingJob};
use crate::output::run::Run;
use crate::stdout::print_line;

/// An editing task: what happens to one batch.
pub trait Task {
    /// Number of solver steps for the next batch.
    fn steps(&self) -> usize;

    /// Edits one batch.
    fn edit(
        &mut self,
        session: &SamplingSession<'_>,
        numbers: Range<usize>,
        run: &mut Run,
    ) -> Result<EditOutput>;

    /// The report after all batches.
    fn report(&mut self) -> Result<String> {
        Ok(String::new())
    }
}

/// The edited images of one batch.
pub struct EditOutput {
    pub images: Images,
    /// One image for each of them, shown to its left in a contact sheet.
    pub beside: Option<Images>,
}

impl EditOutput {
    /// Images without anything beside them.
    pub fn of(session: &SamplingSession<'_>, x: &Tensor) -> Result<Self> {
        Ok(Self { images: session.to_images(x)?, beside: None })
    }
}

/// An editing command: its options, and the plan of its run.
pub struct EditRun<'a> {
    pub options: &'a EditArgs,
    pub pipeline: &'a Pipeline,
    pub plan: SamplingPlan<'a>,
}

/// The task of a command that samples once per input: `start` prepares the steps of one batch.
pub struct Variations<F> {
    steps: usize,
    images: Images,
    variations: usize,
    start: F,
}

impl<F> Variations<F>
where
    F: for<'s> Fn(
        &SamplingSession<'s>,
        Range<usize>,
        &Tensor,
    ) -> inkdrop::Result<SamplingSteps<'s>>,
{
    /// - steps: of one batch
    /// - variations: number of results per image
    pub fn new(steps: usize, images: Images, variations: usize, start: F) -> Self {
        Self { steps, images, variations, start }
    }
}

impl<F> Task for Variations<F>
where
    F: for<'s> Fn(
        &SamplingSession<'s>,
        Range<usize>,
        &Tensor,
    ) -> inkdrop::Result<SamplingSteps<'s>>,
{
    fn steps(&self) -> usize {
        self.steps
    }

    fn edit(
        &mut self,
        session: &SamplingSession<'_>,
        numbers: Range<usize>,
        run: &mut Run,
    ) -> Result<EditOutput> {
        let given = self.images.select(&sources(&numbers, self.variations))?;
        let (x, count) = (tensor(&given, session.device())?, numbers.len());
        EditOutput::of(session, &run.drive(count, (self.start)(session, numbers, &x)?)?)
    }
}

/// The pipeline of an editing command, with the options that all of them have.
pub fn pipeline(options: &EditArgs, model: &ModelArgs, pipeline: Pipeline) -> Result<Pipeline> {
    ensure!(options.batch > 0, "--batch 0: expected at least 1 image per batch");
    let pipeline = pipeline.seed(options.seed).batch(options.batch);
    let pipeline = options.condition.apply(pipeline)?;
    options.guidance.apply(pipeline, model, options.seed)
}

impl EditRun<'_> {
    /// The job of a task.
    ///
    /// - inputs: the bytes that the images depend on
    pub fn job(
        &self,
        name: &str,
        arguments: &impl Serialize,
        inputs: &[&[u8]],
        count: usize,
    ) -> Result<SamplingJob> {
        ensure!(count > 0, "0 images: expected at least 1");
        let [channels, height, width] =
            self.pipeline.metadata().model.image_shape().map(|side| side as usize);
        let mut request = Value::Null;
        if self.options.output.keeps_manifest() {
            request = job::request(arguments, self.pipeline, &self.plan.conditions)?;
            request["task"] = json!(name);
            request["levels"] = json!(self.plan.spacing);
            request["inputs"] = json!(sha256(inputs));
        }
        Ok(SamplingJob {
            request,
            conditions: self.plan.conditions.clone(),
            image: [height, width, channels],
            count,
            batch: self.options.batch,
            shard: None,
            resumable: true,
            restart: false,
        })
    }

    /// Runs a task over all batches.
    ///
    /// - sheet: the layout of a picture
    /// - again: edits also images that are there already, for tasks that report on them
    pub fn run(
        self,
        job: SamplingJob,
        sheet: ContactSheet,
        again: bool,
        task: &mut dyn Task,
    ) -> Result<u8> {
        let (images, batch) = (job.images(), job.batch);
        let output = &self.options.output;
        let (sink, animation) = (output.sink(job, Some(sheet))?, output.animation()?);
        if let (Some(done), false) = (sink.done(), animation.wanted() || again) {
            eprintln!("{done}");
            return Ok(0);
        }
        let session = self.plan.start()?;
        let mut run = Run::begin(sink, animation, (images, batch), again)?;
        for range in run.ranges() {
            for start in range.clone().step_by(batch) {
                let numbers = start..(start + batch).min(range.end);
                run.start_batch(task.steps());
                let output = task.edit(&session, numbers.clone(), &mut run)?;
                if let Some(beside) = output.beside {
                    run.push_beside(beside);
                }
                run.push(numbers, output.images)?;
            }
        }
        let report = task.report()?;
        if !report.is_empty() {
            print_line(&report)?;
        }
        run.finish()
    }
}

/// Images as tensors in [-1, 1], [B, C, H, W].
pub fn tensor(images: &Images, device: Device) -> Result<Tensor> {
    Ok(pixels::to_tensor(images.bytes(), images.nhwc(), device)?)
}

/// Index of the input of each output, for tasks with several variations per input.
pub fn sources(numbers: &Range<usize>, variations: usize) -> Vec<usize> {
    numbers.clone().map(|number| number / variations).collect()
}
