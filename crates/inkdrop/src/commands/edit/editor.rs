//! A model at work on images: batch after batch of a task, under a meter, into a target.

use std::iter::repeat_n;
use std::ops::Range;
use std::process::ExitCode;

use anyhow::Result;
use inkdrop_data::Images;
use inkdrop_nn::Conditioning;
use inkdrop_process::{Process, pixels};
use inkdrop_sampler::{BoxedPredictor, OnStep, Step};
use inkdrop_torch::PerImageNoise;
use inkdrop_torch::tch::{Device, Tensor};
use serde::Serialize;
use serde_json::{Value, json};

use crate::making::guide::Guide;
use crate::making::job::{self, Job};
use crate::making::many;
use crate::making::request::Request;
use crate::making::sheet::Sheet;
use crate::making::stop::{Stop, Stoppable};
use crate::model::card::{Build, Model};
use crate::model::context::Row;
use crate::model::identity;
use crate::options::{EditOptions, ModelOptions};
use crate::say;

/// What is made of a batch.
pub trait Task {
    /// How many steps the next batch reports.
    fn steps(&self) -> usize;

    /// Makes the images of these numbers.
    fn make(&mut self, at: &Ready, numbers: Range<usize>, on_step: &mut OnStep) -> Result<Made>;

    /// What there is to say when all images are made.
    fn report(&mut self) -> Result<String> {
        Ok(String::new())
    }
}

/// Images of one batch.
pub struct Made {
    pub images: Images,
    /// An image for each of them, to be shown at its left.
    pub beside: Option<Images>,
}

impl Made {
    /// Images that were made, with nothing beside them.
    pub fn of(x: &Tensor) -> Result<Self> {
        Ok(Self { images: crate::making::draw::images(x)?, beside: None })
    }
}

/// What a task is to be done with, before the network is built.
pub struct Editor<'a> {
    options: &'a EditOptions,
    pub model: Model,
    build: Build,
    row: Row,
    guide: Guide,
    weaker: Value,
}

impl<'a> Editor<'a> {
    /// A model, and what is asked of it.
    pub fn new(options: &'a EditOptions, named: &ModelOptions, model: Model) -> Result<Self> {
        let build = named.build(options.seed)?;
        let row = options.asked.row(&model.card)?;
        let (guide, weaker) = options.guide.guide(&model.card, &row, named, &build)?;
        Ok(Self { options, model, build, row, guide, weaker })
    }

    /// How many images there are to be, and what they depend on.
    ///
    /// - arguments: those of the command, its name and the levels that it walks
    /// - inputs: the bytes that it starts from
    pub fn job(
        &self,
        (name, levels): (&str, String),
        arguments: &impl Serialize,
        inputs: &[&[u8]],
        count: usize,
    ) -> Result<Job> {
        let EditOptions { batch, .. } = *self.options;
        anyhow::ensure!(count > 0, "0 images asked for: expected at least 1");
        anyhow::ensure!(batch > 0, "--batch 0: expected at least 1 image at a time");
        let [channels, height, width] = self.model.card.model.image_shape().map(|s| s as usize);
        let (row, weaker) = (self.row.clone(), self.weaker.clone());
        let mut request = job::request(arguments, &self.model, &self.build, &row, weaker)?;
        request["task"] = json!(name);
        request["levels"] = json!(levels);
        request["inputs"] = json!(identity::of_bytes(inputs));
        let image = [height, width, channels];
        Ok(Job { request, row, image, count, batch, shard: None, resumable: true, restart: false })
    }

    /// Does a task.
    ///
    /// - sheet: what a picture shows beside the images
    /// - again: makes also what is there already, for tasks that report on what they make
    pub fn run(self, job: Job, sheet: Sheet, again: bool, task: &mut dyn Task) -> Result<ExitCode> {
        let (all, batch) = (job.images(), job.batch);
        let out = &self.options.out;
        let (target, film) = (out.target(job, Some(sheet))?, out.film()?);
        if let (Some(done), false) = (target.done(), film.wanted() || again) {
            eprintln!("{done}");
            return Ok(ExitCode::SUCCESS);
        }
        let (network, process) = self.model.build(&self.build)?;
        let network = Stoppable::new(network, Stop::listen()?);
        let (card, guide) = (&self.model.card, &self.guide);
        let request = Request { network: &network, process: &process, card, guide };
        let ready = Ready { request, row: &self.row, seed: self.options.seed };
        many::fill(&network, film, target, |film, target| {
            many::each((&all, batch, again), film, target, |part, film, meter, target| {
                for start in part.clone().step_by(batch) {
                    let numbers = start..(start + batch).min(part.end);
                    let (count, total, mut number) = (numbers.len(), task.steps(), 0);
                    let mut on_step = |step: &Step| {
                        // A task may walk several ways, or parts of one several times.
                        let step = Step { number, total, ..*step };
                        // A film shows what is made, not the fewer or more images it comes from.
                        if step.x.size()[0] as usize == count {
                            film.take(&step);
                        }
                        meter.step(count, number, total);
                        number += 1;
                    };
                    let made = task.make(&ready, numbers.clone(), &mut on_step)?;
                    if let Some(beside) = made.beside {
                        target.beside(beside);
                    }
                    target.push(numbers, made.images)?;
                    meter.batch(count);
                }
                Ok(())
            })?;
            match task.report()? {
                text if text.is_empty() => Ok(()),
                text => say::say(&text),
            }
        })
    }
}

/// A model that is ready to be asked.
pub struct Ready<'a> {
    request: Request<'a>,
    row: &'a Row,
    seed: u64,
}

impl<'a> Ready<'a> {
    pub fn process(&self) -> &'a Process {
        self.request.process
    }

    /// [C, H, W] of what the network draws.
    pub fn image_shape(&self) -> [i64; 3] {
        self.request.card.model.image_shape()
    }

    pub fn device(&self) -> Device {
        self.request.process.device()
    }

    /// The network as it is asked for so many images.
    ///
    /// - low_res: small images to make large ones of, [B, C, h, w]
    pub fn predictor(&self, count: usize, low_res: Option<&Tensor>) -> BoxedPredictor<'a> {
        let conditioning = |other: Option<&Row>| Conditioning {
            low_res: low_res.map(Tensor::shallow_clone),
            ..self.request.conditioning(repeat_n(other.unwrap_or(self.row), count))
        };
        let Request { network, process, guide, .. } = self.request;
        guide.predictor(network, process, &conditioning)
    }

    /// The noise of images of these numbers.
    pub fn noise(&self, numbers: &Range<usize>) -> PerImageNoise {
        PerImageNoise::new(self.seed, numbers.start as u64..numbers.end as u64)
    }

    /// Images in [-1, 1], [B, C, H, W].
    pub fn tensor(&self, images: &Images) -> Result<Tensor> {
        Ok(pixels::to_tensor(images.bytes(), images.nhwc(), self.device())?)
    }
}

/// Which image each of the images of these numbers is made of, where each has so many.
pub fn sources(numbers: &Range<usize>, variations: usize) -> Vec<usize> {
    numbers.clone().map(|number| number / variations).collect()
}
