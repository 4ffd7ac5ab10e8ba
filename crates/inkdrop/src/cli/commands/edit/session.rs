//! The common part of all editing commands: model, job, and a loop over batches.

use std::ops::Range;

use anyhow::{Context, Result, ensure};
use inkdrop::data::{Depth, Images};
use inkdrop::model::sha256;
use inkdrop::process::ImageCondition;
use inkdrop::sampler::{SamplingRun, SamplingSteps};
use inkdrop::torch::tch::Tensor;
use inkdrop::{Pipeline, SamplingPlan, SamplingSession, samples};
use serde::Serialize;
use serde_json::{Value, json};

use crate::options::{EditArgs, ModelArgs};
use crate::output::contact_sheet::ContactSheet;
use crate::output::job::{self, SamplingJob};
use crate::output::run::Run;
use crate::stdout::print_line;

/// Maximum number of results of a command; more are a typing error.
const MAX_RESULTS: usize = 1_000_000;

/// An editing task: what happens to one batch.
pub trait Task {
    /// Number of solver steps for the next batch.
    fn steps(&self) -> usize;

    /// Edits one batch.
    fn edit(&mut self, batch: EditBatch<'_, '_>) -> Result<EditOutput>;

    /// The report after all batches.
    fn report(&mut self) -> Result<String> {
        Ok(String::new())
    }
}

/// One batch of an editing run.
pub struct EditBatch<'a, 's> {
    pub session: &'a SamplingSession<'s>,
    /// Indices of its images.
    pub indices: Range<usize>,
    /// Bits of the results: the larger depth of the model and of the inputs.
    pub depth: Depth,
    pub run: &'a mut Run,
}

impl EditBatch<'_, '_> {
    /// Runs all steps of a sampling run, and returns its x.
    pub fn drive(&mut self, steps: impl SamplingRun) -> Result<Tensor> {
        self.run.drive(self.indices.len(), steps)
    }

    /// The input of each output, for tasks with several variations per input.
    pub fn sources(&self, variations: usize) -> Vec<usize> {
        self.indices.clone().map(|index| index / variations).collect()
    }

    /// Images as tensors in [-1, 1], [B, C, H, W].
    pub fn tensor(&self, images: &Images) -> Result<Tensor> {
        Ok(samples::to_tensor(images, self.session.device())?)
    }

    /// Samples as output in the depth of the job, with nothing beside them.
    pub fn output(&self, x: &Tensor) -> Result<EditOutput> {
        Ok(EditOutput { images: self.session.to_images_in(x, self.depth)?, beside: None })
    }
}

/// The edited images of one batch.
pub struct EditOutput {
    pub images: Images,
    /// One image for each of them, shown to its left in a contact sheet.
    pub beside: Option<Images>,
}

/// An editing command: its options, and the plan of its run.
pub struct EditRun<'a> {
    pub options: &'a EditArgs,
    pub pipeline: &'a Pipeline,
    pub plan: SamplingPlan<'a>,
}

/// The task of a command that samples once per input.
pub struct Variations<'a> {
    /// Solver steps of one batch.
    pub steps: usize,
    pub images: Images,
    /// Number of results per image.
    pub variations: usize,
    /// Prepares the steps of one batch, from the indices of its images and its inputs.
    pub start: &'a StartBatch<'a>,
}

type StartBatch<'a> = dyn for<'s> Fn(&SamplingSession<'s>, Range<usize>, &Tensor) -> inkdrop::Result<SamplingSteps<'s>>
    + 'a;

impl Task for Variations<'_> {
    fn steps(&self) -> usize {
        self.steps
    }

    fn edit(&mut self, mut batch: EditBatch<'_, '_>) -> Result<EditOutput> {
        let given = batch.tensor(&self.images.select(&batch.sources(self.variations))?)?;
        let steps = (self.start)(batch.session, batch.indices.clone(), &given)?;
        let x = batch.drive(steps)?;
        batch.output(&x)
    }
}

/// The pipeline of an editing command, with the options that all of them have.
///
/// - takes: true for the image conditions of models that the command can use
pub fn pipeline(
    options: &EditArgs,
    model: &ModelArgs,
    pipeline: Pipeline,
    takes: fn(ImageCondition) -> bool,
) -> Result<Pipeline> {
    if let Some(condition) = pipeline.metadata().condition {
        ensure!(
            takes(condition),
            "this model is conditioned on an image ({}): this command has no use for it, expected a model without a condition",
            condition.name()
        );
    }
    ensure!(options.batch > 0, "--batch 0: expected at least 1 image per batch");
    options.output.check_models(model, &options.guidance)?;
    let pipeline = pipeline.seed(options.seed).batch(options.batch);
    let pipeline = options.condition.apply(pipeline)?;
    options.guidance.apply(pipeline, model, options.seed)
}

/// Number of results of a command that makes variations of each input.
pub fn results(inputs: usize, variations: usize) -> Result<usize> {
    let count = inputs.checked_mul(variations).filter(|count| *count <= MAX_RESULTS);
    count.with_context(|| {
        format!("-n {variations} of {inputs} inputs: expected at most {MAX_RESULTS} results")
    })
}

impl EditRun<'_> {
    /// The job of a task.
    ///
    /// - images: the inputs; results have 16 bits if they or the model have them
    /// - others: other bytes that the results depend on
    pub fn job(
        &self,
        name: &str,
        arguments: &impl Serialize,
        (images, others): (Option<&Images>, &[&[u8]]),
        count: usize,
    ) -> Result<SamplingJob> {
        ensure!(count > 0, "0 images: expected at least 1");
        let mut request = Value::Null;
        if self.options.output.keeps_manifest() {
            request = job::request(arguments, self.pipeline, &self.plan.conditions)?;
            request["task"] = json!(name);
            if let Some(sampler) = request.get_mut("sampler") {
                *sampler = json!(self.plan.sampler.to_string());
            }
            request["levels"] = json!(self.plan.spacing);
            let bytes = images.map(Images::raw_bytes).unwrap_or_default();
            request["inputs"] = json!(sha256(&[&[&*bytes], others].concat()));
        }
        let mut image = job::image_form(self.pipeline.metadata());
        image.depth = images.map_or(image.depth, |images| image.depth.max(images.depth()));
        Ok(SamplingJob {
            request,
            conditions: self.plan.conditions.clone(),
            image,
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
        let (images, batch, depth) = (job.images(), job.batch, job.image.depth);
        let output = &self.options.output;
        let sink = output.sink(job, Some(sheet))?;
        let animation = output.animation(self.pipeline.rounding())?;
        if let (Some(done), false) = (sink.done(), animation.wanted() || again) {
            eprintln!("{done}");
            return Ok(0);
        }
        let session = self.plan.start()?;
        let mut run = Run::begin(sink, animation, (images, batch), again)?;
        for range in run.ranges() {
            for start in range.clone().step_by(batch) {
                let indices = start..(start + batch).min(range.end);
                run.start_batch(task.steps());
                let indexed = indices.clone();
                let batch = EditBatch { session: &session, indices: indexed, depth, run: &mut run };
                let output = task.edit(batch)?;
                if let Some(beside) = output.beside {
                    run.push_beside(beside);
                }
                run.push(indices, output.images)?;
            }
        }
        let report = task.report()?;
        if !report.is_empty() {
            print_line(&report)?;
        }
        run.finish()
    }
}
