//! Many images in batches, the same images whatever the batch.

use std::ops::Range;
use std::str::FromStr;

use inkdrop_process::{Predictor, Process};
use inkdrop_schedule::Levels;
use inkdrop_torch::tch::{Device, Tensor};
use inkdrop_torch::{NoiseSource, PerImageNoise, TorchError, TorchNoise};

use crate::{OnStep, Sampler, SamplerError};

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
    /// Which noise levels are visited.
    pub levels: Levels,
    /// The seed of all noise.
    pub seed: u64,
    /// Where the noise comes from.
    pub rng: Rng,
    /// Draws that the original makes for each batch without using them, which move those of the
    /// next batch; they matter to [`Rng::Torch`] alone.
    pub idle_draws: usize,
}

/// Images that are done.
#[derive(Debug)]
pub struct Batch {
    /// Their numbers among all images.
    pub images: Range<usize>,
    /// The images in [-1, 1], [B, C, H, W].
    pub x: Tensor,
}

impl FromStr for Rng {
    type Err = SamplerError;

    fn from_str(text: &str) -> Result<Self, SamplerError> {
        match text {
            "per-sample" => Ok(Self::PerImage),
            "torch" => Ok(Self::Torch),
            _ => Err(SamplerError::Request {
                field: "rng",
                given: format!("`{text}`"),
                expected: "per-sample or torch".into(),
            }),
        }
    }
}

/// The most images at a time.
const MAX_BATCH: usize = 65_536;

impl SampleConfig {
    /// Checks what does not depend on a process.
    ///
    /// # Errors
    /// No images, no batch, or images that begin inside a batch.
    pub fn check(&self) -> Result<(), SamplerError> {
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
            _ => Ok(()),
        }
    }
}

/// Draws for a whole batch, of which a smaller last one takes its part: the originals sample whole
/// batches and cut what is too much.
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

/// A predictor for one batch.
pub type BoxedPredictor<'a> = Box<dyn Predictor + 'a>;

/// What images are sampled from.
pub struct Source<'a> {
    /// The full process.
    pub process: &'a Process,
    /// [C, H, W].
    pub image_shape: [i64; 3],
    /// The predictor for the images of these numbers.
    pub predictor: &'a dyn Fn(Range<usize>) -> Result<BoxedPredictor<'a>, SamplerError>,
}

/// Samples `config.images` batch by batch: image i in the batch that begins at i rounded down.
///
/// - on_step: sees every step of every batch
/// - on_batch: takes each batch when it is done
///
/// # Errors
/// A request that cannot be, a network that cannot take it, or an error of `on_batch`.
pub fn sample<E: From<SamplerError>>(
    source: &Source,
    config: &SampleConfig,
    on_step: &mut OnStep,
    mut on_batch: impl FnMut(Batch) -> Result<(), E>,
) -> Result<(), E> {
    config.check()?;
    let schedule = source.process.schedule();
    let path = config.levels.path(schedule).map_err(SamplerError::from)?;
    // One generator for the whole run, as the original's: seeded once, drawn from batch after batch.
    let mut torch =
        matches!(config.rng, Rng::Torch).then(|| TorchNoise::seeded(config.seed as i64));
    for start in config.images.clone().step_by(config.batch) {
        let images = start..(start + config.batch).min(config.images.end);
        let mut per_image = PerImageNoise::new(config.seed, images.start as u64..images.end as u64);
        let mut full = torch.as_mut().map(|torch| FullBatch { torch, batch: config.batch as i64 });
        let noise: &mut dyn NoiseSource = match &mut full {
            Some(noise) => noise,
            None => &mut per_image,
        };
        let model = (source.predictor)(images.clone())?;
        let [c, h, w] = source.image_shape;
        let shape = [images.len() as i64, c, h, w];
        let x = noise.normal(&shape, source.process.device()).map_err(SamplerError::from)?;
        let x = config.sampler.walk(&model, schedule, &path, x, noise, on_step)?;
        for _ in 0..config.idle_draws {
            drop(noise.normal(&shape, source.process.device()).map_err(SamplerError::from)?);
        }
        on_batch(Batch { images, x })?;
    }
    Ok(())
}
