//! The common part of all editing commands: model, job, and a loop over batches.

use std::ops::Range;
use std::process::ExitCode;

use anyhow::{Result, ensure};
use inkdrop_data::Images;
use inkdrop_process::{Process, pixels};
use inkdrop_sampler::{BatchModel, BoxedDenoiser};
use inkdrop_torch::PerImageNoise;
use inkdrop_torch::tch::{Device, Tensor};
use serde::Serialize;
use serde_json::{Value, json};

use crate::model::condition::Condition;
use crate::model::identity;
use crate::model::metadata::{Build, Model};
use crate::options::{EditArgs, ModelArgs};
use crate::sampling::contact_sheet::ContactSheet;
use crate::sampling::draw;
use crate::sampling::guidance::Guidance;
use crate::sampling::job::{self, SamplingJob};
use crate::sampling::runner::Run;
use crate::sampling::session::{Conditions, SamplingSession};
use crate::stdout::print_line;

/// An editing task: what happens to one batch.
pub trait Task {
    /// Number of solver steps for the next batch.
    fn steps(&self) -> usize;

    /// Edits one batch.
    fn edit(
        &mut self,
        context: &EditContext,
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
    pub fn of(x: &Tensor) -> Result<Self> {
        Ok(Self { images: draw::images(x)?, beside: None })
    }
}

/// An editing command before its network is built.
pub struct EditSession<'a> {
    options: &'a EditArgs,
    pub model: Model,
    build: Build,
    condition: Condition,
    guidance: Guidance,
    weaker: Option<Model>,
}

impl<'a> EditSession<'a> {
    pub fn new(options: &'a EditArgs, model_args: &ModelArgs, model: Model) -> Result<Self> {
        let build = model_args.build(options.seed)?;
        let condition = options.condition.condition(&model.metadata)?;
        let (guidance, weaker) =
            options.guidance.guidance(&model.metadata, &condition, model_args, &build)?;
        Ok(Self { options, model, build, condition, guidance, weaker })
    }

    /// The job of a task.
    ///
    /// - name, levels: of the task and its noise levels
    /// - inputs: the bytes that the images depend on
    pub fn job(
        &self,
        (name, levels): (&str, String),
        arguments: &impl Serialize,
        inputs: &[&[u8]],
        count: usize,
    ) -> Result<SamplingJob> {
        let EditArgs { batch, .. } = *self.options;
        ensure!(count > 0, "0 images: expected at least 1");
        ensure!(batch > 0, "--batch 0: expected at least 1 image per batch");
        let [channels, height, width] =
            self.model.metadata.model.image_shape().map(|side| side as usize);
        let mut request = Value::Null;
        if self.options.output.keeps_manifest() {
            let weaker = self.weaker.as_ref();
            request = job::request(arguments, &self.model, weaker, &self.build, &self.condition)?;
            request["task"] = json!(name);
            request["levels"] = json!(levels);
            request["inputs"] = json!(identity::of_bytes(inputs));
        }
        Ok(SamplingJob {
            request,
            condition: self.condition.clone(),
            image: [height, width, channels],
            count,
            batch,
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
    ) -> Result<ExitCode> {
        let (images, batch) = (job.images(), job.batch);
        let output = &self.options.output;
        let (sink, animation) = (output.sink(job, Some(sheet))?, output.animation()?);
        if let (Some(done), false) = (sink.done(), animation.wanted() || again) {
            eprintln!("{done}");
            return Ok(ExitCode::SUCCESS);
        }
        let (network, process) = self.model.build(&self.build)?;
        let session = SamplingSession {
            network: network.as_ref(),
            process: &process,
            metadata: &self.model.metadata,
            guidance: &self.guidance,
            conditions: Conditions::Same(&self.condition),
        };
        let context = EditContext { session, seed: self.options.seed };
        let mut run = Run::begin(sink, animation, (images, batch), again)?;
        for range in run.ranges() {
            for start in range.clone().step_by(batch) {
                let numbers = start..(start + batch).min(range.end);
                run.start_batch(task.steps());
                let output = task.edit(&context, numbers.clone(), &mut run)?;
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

/// The model of an editing task.
pub struct EditContext<'a> {
    session: SamplingSession<'a>,
    seed: u64,
}

impl EditContext<'_> {
    pub fn process(&self) -> &Process {
        self.session.process
    }

    /// Shape of a generated image, [C, H, W].
    pub fn image_shape(&self) -> [i64; 3] {
        self.session.image_shape()
    }

    pub fn device(&self) -> Device {
        self.session.process.device()
    }

    /// The denoiser for so many images.
    ///
    /// - low_res: inputs of a super-resolution network, [B, C, h, w]
    pub fn denoiser(&self, count: usize, low_res: Option<&Tensor>) -> BoxedDenoiser<'_> {
        self.session.denoiser_with(0..count, low_res)
    }

    /// The noise of the images with these indices.
    pub fn noise(&self, numbers: &Range<usize>) -> PerImageNoise {
        PerImageNoise::new(self.seed, numbers.start as u64..numbers.end as u64)
    }

    /// Images as tensors in [-1, 1], [B, C, H, W].
    pub fn tensor(&self, images: &Images) -> Result<Tensor> {
        Ok(pixels::to_tensor(images.bytes(), images.nhwc(), self.device())?)
    }
}

/// Index of the input of each output, for tasks with several variations per input.
pub fn sources(numbers: &Range<usize>, variations: usize) -> Vec<usize> {
    numbers.clone().map(|number| number / variations).collect()
}
