//! A model that is ready to sample, with its conditioning and guidance.

use std::ops::Range;

use anyhow::Result;
use inkdrop_data::Images;
use inkdrop_data::picture::Picture;
use inkdrop_nn::{ClassIds, CompileOptions, Conditioning, Network, TrainableNetwork};
use inkdrop_process::Process;
use inkdrop_sampler::{BatchModel, BoxedDenoiser, Sampler, SamplerError, SamplingRun, StepState};
use inkdrop_schedule::{SamplingSchedule, TimestepSpacing};
use inkdrop_torch::tch::{Device, Tensor};
use inkdrop_torch::{NoiseSource, PerImageNoise};

use crate::model::condition::Condition;
use crate::model::metadata::ModelMetadata;
use crate::sampling::draw;
use crate::sampling::guidance::Guidance;

/// A model that is ready to sample.
pub struct SamplingSession<'a> {
    pub network: &'a dyn Network,
    pub process: &'a Process,
    pub metadata: &'a ModelMetadata,
    pub guidance: &'a Guidance,
    pub conditions: Conditions<'a>,
}

/// The conditions of the images of a run.
#[derive(Clone, Copy)]
pub enum Conditions<'a> {
    /// The same for all images.
    Same(&'a Condition),
    /// One for each image.
    Each(&'a [Condition]),
}

impl<'a> Conditions<'a> {
    /// The condition of an image.
    pub fn get(self, image: usize) -> &'a Condition {
        match self {
            Self::Same(condition) => condition,
            Self::Each(conditions) => &conditions[image],
        }
    }
}

impl BatchModel for SamplingSession<'_> {
    fn process(&self) -> &Process {
        self.process
    }

    fn image_shape(&self) -> [i64; 3] {
        self.metadata.model.image_shape()
    }

    fn denoiser(&self, images: Range<usize>) -> Result<BoxedDenoiser<'_>, SamplerError> {
        Ok(self.denoiser_with(images, None))
    }
}

impl SamplingSession<'_> {
    /// The denoiser for some images.
    ///
    /// - low_res: inputs of a super-resolution network, [B, C, h, w]
    pub fn denoiser_with(
        &self,
        images: Range<usize>,
        low_res: Option<&Tensor>,
    ) -> BoxedDenoiser<'_> {
        let device = self.process.device();
        let conditioning = |uncond: Option<&Condition>| {
            let conditions = images.clone().map(|i| uncond.unwrap_or(self.conditions.get(i)));
            let low_res = low_res.map(Tensor::shallow_clone);
            Conditioning { low_res, ..conditioning(conditions, device) }
        };
        self.guidance.denoiser(self.network, self.process, &conditioning)
    }

    /// Samples all images in one batch, by deterministic DDIM with seed 0 and trailing spacing.
    ///
    /// - on_step: receives every state, for animations
    pub fn draft(
        &self,
        images: usize,
        steps: usize,
        mut on_step: impl FnMut(&StepState),
    ) -> Result<Images> {
        let [c, h, w] = self.image_shape();
        let mut noise = PerImageNoise::new(0, 0..images as u64);
        let x = noise.normal(&[images as i64, c, h, w], self.process.device())?;
        let schedule = draft_schedule(self.process, steps)?;
        let denoiser = self.denoiser_with(0..images, None);
        let noise_schedule = self.process.schedule();
        let mut run = Sampler::DDIM.steps(denoiser, noise_schedule, &schedule, x, noise)?;
        for state in run.by_ref() {
            on_step(&state?);
        }
        draw::images(run.x())
    }
}

/// The sampling schedule of a draft: timesteps with trailing spacing.
fn draft_schedule(process: &Process, steps: usize) -> Result<SamplingSchedule> {
    let schedule = process.schedule();
    let timesteps = TimestepSpacing::Trailing(steps).timesteps(schedule.num_timesteps())?;
    Ok(SamplingSchedule::from_timesteps(schedule, &timesteps)?)
}

/// The conditioning of a batch, from one condition per image.
pub fn conditioning<'r>(
    conditions: impl Iterator<Item = &'r Condition>,
    device: Device,
) -> Conditioning {
    let conditions: Vec<&Condition> = conditions.collect();
    let classes: Option<Vec<i64>> = conditions.iter().map(|c| c.class).collect();
    if let Some(classes) = classes {
        // Copying a few numbers to the device fails only if the device itself fails.
        return ClassIds::new(&classes, device)
            .map_or_else(|_| Conditioning::none(), Conditioning::classes);
    }
    let values: Vec<f32> = conditions.iter().flat_map(|c| c.contexts.iter().copied()).collect();
    if values.is_empty() {
        return Conditioning::none();
    }
    let weights = Tensor::from_slice(&values).view([conditions.len() as i64, -1]);
    Conditioning::context(weights.to_device(device))
}

/// A grid of 8 images per context or class, by 25 DDIM steps: a preview during training.
pub fn preview(network: &dyn TrainableNetwork, metadata: &ModelMetadata) -> Result<Picture> {
    const COLUMNS: usize = 8;
    const ROWS: usize = 10;
    let names = match metadata.conditions() {
        none if none.is_empty() => vec![String::new(); 4],
        conditions => conditions.into_iter().take(ROWS).collect(),
    };
    let condition = |name: &String| match name.is_empty() {
        true => Ok(Condition::none(metadata)),
        false => Condition::class(metadata, name),
    };
    let conditions: Vec<Condition> = names.iter().map(condition).collect::<Result<_>>()?;
    let conditions: Vec<Condition> =
        conditions.into_iter().flat_map(|condition| vec![condition; COLUMNS]).collect();
    let process = Process::new(&metadata.process, network.device())?;
    let steps = process.schedule().num_timesteps().min(25);
    let options = CompileOptions::at(process.network_times(&draft_schedule(&process, steps)?));
    let network = network.compile(&options)?;
    let session = SamplingSession {
        network: network.as_ref(),
        process: &process,
        metadata,
        guidance: &Guidance::none(),
        conditions: Conditions::Each(&conditions),
    };
    let images = session.draft(conditions.len(), steps, |_| {})?;
    draw::rows(&images, COLUMNS, &names)
}
