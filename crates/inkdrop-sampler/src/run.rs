//! Many images in batches, the same images whatever the batch.

use std::ops::Range;
use std::str::FromStr;

use inkdrop_nn::{Conditioning, Network};
use inkdrop_process::{Denoiser, Process};
use inkdrop_schedule::Spacing;
use inkdrop_torch::tch::{Device, Tensor};
use inkdrop_torch::{NoiseSource, PerImageNoise, TorchNoise};

use crate::{OnStep, SamplerError, ddim, ddpm};

/// A sampler by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sampler {
    /// [`ddpm`].
    Ddpm,
    /// [`ddim`].
    Ddim,
}

/// Where the noise comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Rng {
    /// [`PerImageNoise`]: image i of a seed is always the same.
    #[default]
    PerImage,
    /// [`TorchNoise`]: the draws of `torch.manual_seed`, in the original's order.
    Torch,
}

/// What to sample.
#[derive(Debug, Clone)]
pub struct SampleConfig {
    /// The numbers of the images, at least one. They begin where a batch does, since an image's last
    /// bits depend on its batch: at a multiple of `batch`, at 0 with [`Rng::Torch`].
    pub images: Range<usize>,
    /// How many at a time; ≥ 1.
    pub batch: usize,
    /// Which sampler.
    pub sampler: Sampler,
    /// How many network calls an image takes, 1 to T; all T when `None`.
    pub steps: Option<usize>,
    /// The seed of all noise.
    pub seed: u64,
    /// Where the noise comes from.
    pub rng: Rng,
}

/// Images that are done.
#[derive(Debug)]
pub struct Batch {
    /// Their numbers among all images.
    pub images: Range<usize>,
    /// The images in [-1, 1], [B, C, H, W].
    pub x: Tensor,
}

macro_rules! names {
    ($type:ty, $field:literal, $($name:literal => $value:expr),+) => {
        impl FromStr for $type {
            type Err = SamplerError;

            fn from_str(text: &str) -> Result<Self, SamplerError> {
                match text {
                    $($name => Ok($value),)+
                    _ => Err(SamplerError::Request {
                        field: $field,
                        given: format!("`{text}`"),
                        expected: [$($name),+].join(" or "),
                    }),
                }
            }
        }
    };
}

names!(Sampler, "sampler", "ddpm" => Self::Ddpm, "ddim" => Self::Ddim);
names!(Rng, "rng", "per-sample" => Self::PerImage, "torch" => Self::Torch);

/// The most images at a time.
const MAX_BATCH: usize = 65_536;

impl SampleConfig {
    /// Checks the request against a process of `available` steps.
    ///
    /// # Errors
    /// No images, no batch, images that begin inside a batch, or steps that there are not.
    pub fn check(&self, available: usize) -> Result<(), SamplerError> {
        let request = |field, given: usize, expected: String| {
            Err(SamplerError::Request { field, given: given.to_string(), expected })
        };
        match self {
            Self { images, .. } if images.is_empty() => {
                request("count", 0, "at least 1 image".into())
            }
            Self { batch, .. } if !(1..=MAX_BATCH).contains(batch) => {
                request("batch", *batch, format!("1 to {MAX_BATCH} images at a time"))
            }
            Self { images, batch, .. } if !images.start.is_multiple_of(*batch) => request(
                "first image",
                images.start,
                format!("a multiple of {batch}, the images at a time"),
            ),
            Self { images, rng: Rng::Torch, .. } if images.start > 0 => request(
                "first image",
                images.start,
                "0, since one torch generator runs through all images".into(),
            ),
            Self { steps: Some(steps), .. } if !(1..=available).contains(steps) => request(
                "steps",
                *steps,
                format!("1 to {available}, the steps the model was trained with"),
            ),
            _ => Ok(()),
        }
    }
}

/// Samples `config.images` batch by batch: image i in the batch that begins at i rounded down.
///
/// - image_shape: [C, H, W]
/// - conditioning: what the images of these numbers are asked to be
/// - on_step: sees every step of every batch
/// - on_batch: takes each batch when it is done
///
/// # Errors
/// A request that cannot be, a network that cannot take it, or an error of `on_batch`.
pub fn sample<E: From<SamplerError>>(
    network: &dyn Network,
    process: &Process,
    config: &SampleConfig,
    image_shape: [i64; 3],
    conditioning: &dyn Fn(Range<usize>) -> Conditioning,
    on_step: &mut OnStep,
    mut on_batch: impl FnMut(Batch) -> Result<(), E>,
) -> Result<(), E> {
    let available = process.schedule().steps();
    config.check(available)?;
    let spacing = config.steps.map_or(Spacing::All, Spacing::Trailing);
    let process = process.respaced(&spacing).map_err(SamplerError::from)?;
    let device = network.params().device();
    // One generator for the whole run, as the original's: seeded once, drawn from batch after batch.
    let mut torch =
        matches!(config.rng, Rng::Torch).then(|| TorchNoise::seeded(config.seed as i64));
    for start in config.images.clone().step_by(config.batch) {
        let images = start..(start + config.batch).min(config.images.end);
        let mut per_image = PerImageNoise::new(config.seed, images.start as u64..images.end as u64);
        let noise: &mut dyn NoiseSource = match &mut torch {
            Some(noise) => noise,
            None => &mut per_image,
        };
        let denoiser = Denoiser::new(&process, network, conditioning(images.clone()));
        let x = first_noise(noise, images.len(), image_shape, device)?;
        let x = match config.sampler {
            Sampler::Ddpm => ddpm(&denoiser, x, noise, on_step)?,
            Sampler::Ddim => ddim(&denoiser, x, on_step)?,
        };
        on_batch(Batch { images, x })?;
    }
    Ok(())
}

fn first_noise(
    noise: &mut dyn NoiseSource,
    images: usize,
    [c, h, w]: [i64; 3],
    device: Device,
) -> Result<Tensor, SamplerError> {
    Ok(noise.normal(&[images as i64, c, h, w], device)?)
}
