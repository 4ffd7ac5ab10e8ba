//! Many images in batches: image i of a seed does not depend on how many are sampled.

use std::ops::Range;
use std::str::FromStr;

use inkdrop_process::{Denoiser, DiffusionProcess};
use inkdrop_schedule::SamplingSchedule;
use inkdrop_torch::tch::{Device, Tensor};
use inkdrop_torch::{BrownianTreeNoise, NoiseSource, PerImageNoise, TorchError, TorchNoise};

use crate::{Sampler, SamplerError, SamplingRun, SamplingSteps};

/// The random number generator of a sampling run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Rng {
    /// [`PerImageNoise`]: image i of a seed is always the same.
    #[default]
    PerImage,
    /// [`BrownianTreeNoise`]: [`Rng::PerImage`], and one path of noise for any number of steps.
    BrownianTree,
    /// [`TorchNoise`]: the draws of `torch.manual_seed`, in the order of a PyTorch program.
    Torch,
}

impl FromStr for Rng {
    type Err = SamplerError;

    fn from_str(text: &str) -> Result<Self, SamplerError> {
        match text {
            "per-sample" => Ok(Self::PerImage),
            "brownian-tree" => Ok(Self::BrownianTree),
            "torch" => Ok(Self::Torch),
            _ => Err(SamplerError::Request {
                field: "rng",
                given: format!("`{text}`"),
                expected: "per-sample, brownian-tree or torch".into(),
            }),
        }
    }
}

/// The config of a run over many images.
#[derive(Debug, Clone)]
pub struct SampleConfig {
    /// Indices of the images, at least one. The first index must start a batch, since the last bits of
    /// an image depend on its batch: a multiple of `batch`, and 0 with [`Rng::Torch`].
    pub images: Range<usize>,
    /// Images per batch; ≥ 1.
    pub batch: usize,
    /// The sampler.
    pub sampler: Sampler,
    /// The noise levels to visit.
    pub schedule: SamplingSchedule,
    /// Seed of all noise.
    pub seed: u64,
    /// Random number generator.
    pub rng: Rng,
    /// Draws that the PyTorch program makes after each batch without using them. They shift the noise
    /// of the next batch with [`Rng::Torch`].
    pub discarded_draws: usize,
}

/// Largest batch.
const MAX_BATCH: usize = 65_536;

impl SampleConfig {
    /// Checks the images and the batch.
    ///
    /// # Errors
    /// No images, an empty or too large batch, or a first image inside a batch.
    pub fn check(&self) -> Result<(), SamplerError> {
        let request = |field, given: usize, expected: String| {
            Err(SamplerError::Request { field, given: given.to_string(), expected })
        };
        match self {
            Self { images, .. } if images.is_empty() => {
                request("count", 0, "at least 1 image".into())
            }
            Self { batch, .. } if !(1..=MAX_BATCH).contains(batch) => {
                request("batch", *batch, format!("1 to {MAX_BATCH} images per batch"))
            }
            Self { images, batch, .. } if !images.start.is_multiple_of(*batch) => request(
                "first image",
                images.start,
                format!("a multiple of the batch size, {batch}"),
            ),
            Self { images, rng: Rng::Torch, .. } if images.start > 0 => request(
                "first image",
                images.start,
                "0, since one torch generator runs through all images".into(),
            ),
            _ => Ok(()),
        }
    }
}

/// A denoiser for one batch.
pub type BoxedDenoiser<'a> = Box<dyn Denoiser + 'a>;

/// A model for runs over many images.
pub trait BatchModel {
    /// The diffusion process.
    fn process(&self) -> &dyn DiffusionProcess;

    /// Shape of one image, [C, H, W].
    fn image_shape(&self) -> [i64; 3];

    /// Builds the denoiser for the images with these indices.
    ///
    /// # Errors
    /// The conditioning of these images is invalid.
    fn denoiser(&self, images: Range<usize>) -> Result<BoxedDenoiser<'_>, SamplerError>;

    /// The steps of a batch; by default those of the config's sampler.
    ///
    /// - x: N(0, 1), [B, C, H, W]
    ///
    /// # Errors
    /// As for [`BatchModel::denoiser`] and [`Sampler::steps`].
    fn steps<'s>(
        &'s self,
        images: Range<usize>,
        x: Tensor,
        noise: Box<dyn NoiseSource + 's>,
        config: &SampleConfig,
    ) -> Result<SamplingSteps<'s>, SamplerError> {
        let levels = self.process().noise_levels();
        config.sampler.steps(self.denoiser(images)?, levels, &config.schedule, x, noise)
    }
}

impl<M: BatchModel + ?Sized> BatchModel for &M {
    fn process(&self) -> &dyn DiffusionProcess {
        (**self).process()
    }

    fn image_shape(&self) -> [i64; 3] {
        (**self).image_shape()
    }

    fn denoiser(&self, images: Range<usize>) -> Result<BoxedDenoiser<'_>, SamplerError> {
        (**self).denoiser(images)
    }

    fn steps<'s>(
        &'s self,
        images: Range<usize>,
        x: Tensor,
        noise: Box<dyn NoiseSource + 's>,
        config: &SampleConfig,
    ) -> Result<SamplingSteps<'s>, SamplerError> {
        (**self).steps(images, x, noise, config)
    }
}

/// A sampled batch.
#[derive(Debug)]
pub struct Batch {
    /// Indices of the images.
    pub images: Range<usize>,
    /// The images in [-1, 1], [B, C, H, W].
    pub x: Tensor,
}

/// One batch of a run, ready to be sampled step by step.
pub struct BatchSteps<'b> {
    /// Indices of the images.
    pub images: Range<usize>,
    /// The steps; see [`SamplingRun`].
    pub steps: SamplingSteps<'b>,
}

/// An iterator over the batches of a run.
///
/// For progress within a batch, or to stop in it, use [`SampleBatches::next_steps`].
pub struct SampleBatches<'a> {
    model: Box<dyn BatchModel + 'a>,
    config: SampleConfig,
    /// One generator for the whole run, as in a PyTorch program: seeded once, drawn batch after batch.
    torch: Option<TorchNoise>,
    next: usize,
}

impl<'a> SampleBatches<'a> {
    /// Prepares a run.
    ///
    /// # Errors
    /// Those of [`SampleConfig::check`].
    pub fn new(model: impl BatchModel + 'a, config: SampleConfig) -> Result<Self, SamplerError> {
        config.check()?;
        let torch = (config.rng == Rng::Torch).then(|| TorchNoise::seeded(config.seed as i64));
        let torch = torch.transpose()?;
        let next = config.images.start;
        Ok(Self { model: Box::new(model), config, torch, next })
    }

    /// The next batch, before its first step; `None` after the last one.
    ///
    /// # Errors
    /// The denoiser cannot be built, or libtorch is out of memory.
    pub fn next_steps(&mut self) -> Result<Option<BatchSteps<'_>>, SamplerError> {
        let Self { model, config, torch, next } = self;
        if *next >= config.images.end {
            return Ok(None);
        }
        let images = *next..(*next + config.batch).min(config.images.end);
        let first = *next == config.images.start;
        *next = images.end;
        let range = images.start as u64..images.end as u64;
        let mut noise: Box<dyn NoiseSource + '_> = match (torch, config.rng) {
            (Some(torch), _) => Box::new(FullBatch { torch, batch: config.batch as i64 }),
            (None, Rng::BrownianTree) => Box::new(BrownianTreeNoise::new(config.seed, range)),
            (None, _) => Box::new(PerImageNoise::new(config.seed, range)),
        };
        let ([c, h, w], device) = (model.image_shape(), model.process().device());
        let shape = [images.len() as i64, c, h, w];
        // Drawn before the next batch rather than after this one, so a stopped run draws nothing extra.
        if config.rng == Rng::Torch && !first {
            for _ in 0..config.discarded_draws {
                drop(noise.normal(&shape, device)?);
            }
        }
        let x = noise.normal(&shape, device)?;
        let steps = model.steps(images.clone(), x, noise, config)?;
        Ok(Some(BatchSteps { images, steps }))
    }
}

impl Iterator for SampleBatches<'_> {
    type Item = Result<Batch, SamplerError>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = self
            .next_steps()
            .transpose()?
            .and_then(|BatchSteps { images, steps }| Ok(Batch { images, x: steps.finish()? }));
        if batch.is_err() {
            self.next = self.config.images.end;
        }
        Some(batch)
    }
}

/// Draws noise for a whole batch, of which a smaller last batch takes the first rows: PyTorch programs
/// sample whole batches and discard the surplus.
struct FullBatch<'a> {
    torch: &'a mut TorchNoise,
    batch: i64,
}

impl NoiseSource for FullBatch<'_> {
    fn normal(&mut self, shape: &[i64], device: Device) -> Result<Tensor, TorchError> {
        let mut whole = shape.to_vec();
        whole[0] = whole[0].max(self.batch);
        Ok(self.torch.normal(&whole, device)?.f_narrow(0, 0, shape[0])?)
    }
}
