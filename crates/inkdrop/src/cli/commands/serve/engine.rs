//! The engine of the server: requests on pipelines.

use std::sync::Arc;

use inkdrop::data::picture::Picture;
use inkdrop::data::{Images, read};
use inkdrop::mask::{self, Mask};
use inkdrop::model::{Condition, Conditions};
use inkdrop::sampler::SamplingRun;
use inkdrop::sampler::edit::{Repaint, latent_grid};
use inkdrop::samples::{self, labels};
use inkdrop::torch::tch::{Device, Tensor};
use inkdrop::torch::{NoiseSource, PerImageNoise, TorchError};
use inkdrop::{Error, Pipeline, Result, SamplingPlan, SamplingSession};
use inkdrop_serve::engine::{
    Backend, Engine, EngineError, JobImages, ModelInfo, Progress, Request, StepImages, Task,
};

use super::models::{ModelPlace, Models};

/// Maximum number of open models.
const OPEN: usize = 4;

/// Fixed-point iterations of the inversion before an interpolation.
const REFINE: usize = 3;

/// An engine with some open models.
pub struct ModelsEngine {
    models: Arc<Models>,
    /// The models that were used last, the newest at the end.
    open: Vec<(ModelPlace, Pipeline)>,
}

/// The end of a pass that gives no images.
enum Stop {
    Error(Error),
    Cancelled,
}

impl<E: Into<Error>> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Error(error.into())
    }
}

impl From<Stop> for EngineError {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Cancelled => Self::Cancelled,
            Stop::Error(error @ Error::Torch(_)) => Self::Failed(error.report()),
            Stop::Error(error) => Self::Invalid(error.report()),
        }
    }
}

impl ModelsEngine {
    /// An engine without open models.
    pub fn new(models: Arc<Models>) -> Self {
        Self { models, open: Vec::new() }
    }

    /// Takes a model out of the open ones, or opens it.
    fn take(&mut self, id: &str) -> Result<(ModelPlace, Pipeline)> {
        let Some(place) = self.models.find(id) else {
            return Err(Error::Invalid(format!("the model `{id}` is gone")));
        };
        if let Some(at) = self.open.iter().position(|(known, _)| *known == place) {
            return Ok(self.open.remove(at));
        }
        self.open.retain(|(known, _)| known.id != id);
        let pipeline = self.models.pipeline(&place)?;
        Ok((place, pipeline))
    }

    /// Keeps a model open for the next request.
    fn keep(&mut self, model: (ModelPlace, Pipeline)) {
        if self.open.len() >= OPEN {
            self.open.remove(0);
        }
        self.open.push(model);
    }
}

impl Backend for Models {
    fn models(&self) -> Vec<ModelInfo> {
        self.infos()
    }

    fn engine(self: Arc<Self>) -> Box<dyn Engine> {
        Box::new(ModelsEngine::new(self))
    }
}

impl Engine for ModelsEngine {
    fn run(
        &mut self,
        requests: &[Request],
        progress: &mut dyn Progress,
    ) -> Result<Vec<JobImages>, EngineError> {
        let Some(first) = requests.first() else { return Ok(Vec::new()) };
        let (place, pipeline) = self.take(&first.settings.model).map_err(Stop::from)?;
        let pipeline = configure(pipeline.reset(), first).map_err(Stop::from)?;
        let conditions = conditions(&pipeline, requests);
        let pipeline = match conditions.map_err(Stop::from)? {
            conditions if conditions.is_empty() => pipeline,
            conditions => pipeline.conditions(conditions),
        };
        let pass = Pass { pipeline: &pipeline, max_steps: self.models.max_steps };
        let images = pass.run(requests, progress);
        self.keep((place, pipeline));
        Ok(images?)
    }
}

fn configure(pipeline: Pipeline, request: &Request) -> Result<Pipeline> {
    let settings = &request.settings;
    let mut pipeline = pipeline.seed(request.seed);
    if let Some(sampler) = &settings.sampler {
        pipeline = pipeline.sampler(sampler.parse()?);
    }
    if let Some(steps) = settings.steps {
        pipeline = pipeline.steps(steps);
    }
    if let Some(spacing) = &settings.spacing {
        pipeline = pipeline.spacing(spacing);
    }
    if let Some(eta) = settings.eta {
        pipeline = pipeline.eta(eta);
    }
    Ok(match settings.guidance {
        Some(scale) => pipeline.guidance(scale),
        None => pipeline,
    })
}

/// The condition of every image of a pass; empty if no request has one.
fn conditions(pipeline: &Pipeline, requests: &[Request]) -> Result<Vec<Condition>> {
    let metadata = pipeline.metadata();
    let mut all = Vec::new();
    for request in requests {
        let Some(text) = &request.condition else { continue };
        let own = match text.contains('=') {
            true => Conditions::new(vec![Condition::parse(metadata, text)?])?,
            false => Conditions::classes(metadata, text)?,
        };
        all.extend((0..request.count).map(|image| own.get(image).clone()));
    }
    Ok(all)
}

/// The images of all requests of a pass with their labels, as the commands write them.
fn labelled(conditions: &Conditions, all: Vec<Images>) -> Vec<JobImages> {
    let mut start = 0;
    let result = |images: Images| {
        let range = start..start + images.len();
        start = range.end;
        let conditions: Vec<Condition> = range.map(|i| conditions.get(i).clone()).collect();
        let (labels, contexts) = labels(&conditions);
        JobImages { images, labels, contexts }
    };
    all.into_iter().map(result).collect()
}

/// Noise of several requests in one batch: each has its own seed.
struct JoinedNoise(Vec<(PerImageNoise, i64)>);

impl JoinedNoise {
    fn new(requests: &[Request]) -> Self {
        let noise = |request: &Request| {
            let images = 0..request.count as u64;
            (PerImageNoise::new(request.seed, images), request.count as i64)
        };
        Self(requests.iter().map(noise).collect())
    }
}

impl NoiseSource for JoinedNoise {
    fn normal(&mut self, shape: &[i64], device: Device) -> Result<Tensor, TorchError> {
        let each = |(noise, count): &mut (PerImageNoise, i64)| {
            noise.normal(&[&[*count], &shape[1..]].concat(), device)
        };
        let parts = self.0.iter_mut().map(each).collect::<Result<Vec<_>, _>>()?;
        Ok(Tensor::f_cat(&parts, 0)?)
    }
}

/// A pass of one pipeline.
struct Pass<'p> {
    pipeline: &'p Pipeline,
    max_steps: usize,
}

impl<'p> Pass<'p> {
    fn run(
        &self,
        requests: &[Request],
        progress: &mut dyn Progress,
    ) -> Result<Vec<JobImages>, Stop> {
        let conditions = self.pipeline.sampler_plan()?.conditions;
        let images = match requests {
            [Request { task: Task::Generate, .. }, ..] => self.generate(requests, progress)?,
            [one, ..] => vec![self.edit(&one.task, one.count, progress)?],
            [] => Vec::new(),
        };
        Ok(labelled(&conditions, images))
    }

    /// Starts a plan that is within the limit. A spacing and the default of a sampler have their own number of steps.
    fn start(&self, plan: &SamplingPlan<'p>) -> Result<SamplingSession<'p>> {
        let (steps, most) = (plan.schedule.len(), self.max_steps);
        if steps > most {
            return Err(Error::Invalid(format!("steps is {steps}: expected 1 to {most}")));
        }
        plan.start()
    }

    /// New images of all requests in one batch.
    fn generate(
        &self,
        requests: &[Request],
        progress: &mut dyn Progress,
    ) -> Result<Vec<Images>, Stop> {
        let count: usize = requests.iter().map(|request| request.count).sum();
        let plan = self.pipeline.plan()?;
        let session = self.start(&plan)?;
        let mut steps = Steps::new(progress, plan.schedule.len());
        let x = steps
            .drive(&session, session.generate_with(0..count, None, JoinedNoise::new(requests))?)?;
        let images = session.to_images(&x)?;
        let mut start = 0;
        let part = |request: &Request| {
            let range: Vec<usize> = (start..start + request.count).collect();
            start += request.count;
            Ok(images.select(&range)?)
        };
        requests.iter().map(part).collect()
    }

    fn edit(&self, task: &Task, count: usize, progress: &mut dyn Progress) -> Result<Images, Stop> {
        let pipeline = self.pipeline;
        match task {
            Task::Inpaint { image, mask } => self.inpaint((image, mask), count, progress),
            Task::Vary { image, strength } => {
                let plan = pipeline.sampler_plan()?;
                let of = plan.img2img_schedule(*strength)?.len();
                let x = tensor(pipeline, &fitted(pipeline, &vec![image; count])?)?;
                let session = self.start(&plan)?;
                let run = session.img2img(0..count, &x, *strength)?;
                Ok(session.to_images(&Steps::new(progress, of).drive(&session, run)?)?)
            }
            Task::Interpolate { images, columns } => {
                self.interpolate(&images.iter().collect::<Vec<_>>(), *columns, progress)
            }
            Task::Upscale { image } => {
                let plan = pipeline.sampler_plan()?;
                let channels = pipeline.metadata().model.image_shape()[0] as usize;
                let x = tensor(pipeline, &read::images(std::slice::from_ref(image), channels)?)?;
                let session = self.start(&plan)?;
                let run = session.upscale(0..1, &x)?;
                Ok(session
                    .to_images(&Steps::new(progress, plan.schedule.len()).drive(&session, run)?)?)
            }
            Task::Generate => Err(Error::Invalid("not an editing task".to_string()).into()),
        }
    }

    fn inpaint(
        &self,
        (image, mask): (&Picture, &Picture),
        count: usize,
        progress: &mut dyn Progress,
    ) -> Result<Images, Stop> {
        let pipeline = self.pipeline;
        let [_, height, width] = pipeline.metadata().model.image_shape().map(|side| side as usize);
        let fit = read::fit(mask, width, height)?;
        let mask: Mask = read::luma(&fit).map(|luma| luma >= 128).collect();
        if !mask.contains(&true) {
            let problem =
                "the mask is black everywhere: expected white pixels, which are inpainted";
            return Err(Error::Invalid(problem.to_string()).into());
        }
        let given = fitted(pipeline, &vec![image; count])?;
        let method = pipeline.inpaint_method(Repaint::default());
        let plan = pipeline.inpaint_plan(method)?;
        let masks = vec![&mask; count];
        let x = tensor(pipeline, &given)?;
        let session = self.start(&plan)?;
        let mask = mask::to_tensor(&masks, height, session.device())?;
        let run = session.inpaint(0..count, &x, &mask, method)?;
        let x = Steps::new(progress, method.steps(&plan)).drive(&session, run)?;
        Ok(mask::compose(Some(&session.to_images(&x)?), &given, &masks)?)
    }

    fn interpolate(
        &self,
        images: &[&Picture],
        columns: usize,
        progress: &mut dyn Progress,
    ) -> Result<Images, Stop> {
        let plan = self.pipeline.inversion_plan()?;
        let x = tensor(self.pipeline, &fitted(self.pipeline, images)?)?;
        let session = self.start(&plan)?;
        let levels = plan.schedule.len();
        let mut steps = Steps::new(progress, 2 * levels - 1);
        let noise = steps.drive(&session, session.invert(0..images.len(), &x, REFINE)?)?;
        let noise = match &noise.f_split(1, 0)?[..] {
            [a, b, c, d] => latent_grid([a, c, b, d], columns, columns)?,
            [a, b] => latent_grid([a, a, b, b], 1, columns)?,
            _ => return Err(Error::Invalid("expected 2 or 4 pictures".to_string()).into()),
        };
        let count = noise.size()[0] as usize;
        let x = steps.drive(&session, session.generate_from(0..count, &noise)?)?;
        Ok(session.to_images(&x)?)
    }
}

/// Pictures at the size of the model.
fn fitted(pipeline: &Pipeline, pictures: &[&Picture]) -> Result<Images> {
    let [channels, height, width] =
        pipeline.metadata().model.image_shape().map(|side| side as usize);
    let fit = |picture: &&Picture| read::fit(picture, width, height);
    let pictures = pictures.iter().map(fit).collect::<Result<Vec<_>, _>>()?;
    Ok(read::images(&pictures, channels)?)
}

fn tensor(pipeline: &Pipeline, images: &Images) -> Result<Tensor> {
    samples::to_tensor(images, pipeline.process().device())
}

/// Counts the steps of a pass, and reports them.
struct Steps<'p> {
    progress: &'p mut dyn Progress,
    step: usize,
    of: usize,
}

impl<'p> Steps<'p> {
    /// - of: number of solver steps of the pass
    fn new(progress: &'p mut dyn Progress, of: usize) -> Self {
        Self { progress, step: 0, of }
    }

    /// Runs all steps of a sampling run, and returns its x.
    fn drive(
        &mut self,
        session: &SamplingSession<'_>,
        mut run: impl SamplingRun,
    ) -> Result<Tensor, Stop> {
        for state in run.by_ref() {
            let state = state?;
            self.step += 1;
            let images = || {
                let (x, x0) =
                    (session.to_images(&state.x).ok()?, session.to_images(&state.x0).ok()?);
                Some(StepImages { x, x0 })
            };
            if !self.progress.step(self.step, self.of.max(self.step), &images) {
                return Err(Stop::Cancelled);
            }
        }
        Ok(run.x().shallow_clone())
    }
}
