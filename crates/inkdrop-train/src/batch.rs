//! A training batch on the device: images, noise, timesteps and labels.

use std::ops::Range;

use inkdrop_data::Labels;
use inkdrop_nn::{ClassIds, Conditioning};
use inkdrop_process::ImageCondition;
use inkdrop_torch::tch::{Device, Kind, Tensor};
use inkdrop_torch::{split_mix_64, to_device_async};

use crate::condition::{ConditionDraws, image_condition};
use crate::{AugmentConfig, SampledTimesteps, TrainError};

/// This process's share of a batch, with all its random numbers.
///
/// Noise, timesteps and label dropout are drawn for the whole batch of B images, so that image i gets the
/// same numbers however many processes share the batch.
#[derive(Debug)]
pub(crate) struct TrainingBatch {
    /// [b, C, H, W] in [-1, 1]
    pub x0: Tensor,
    /// [b, C, H, W]
    pub noise: Tensor,
    /// Timestep, or quantile of the noise distribution, `[b]` on the CPU.
    pub t: Tensor,
    /// Of the whole batch, B images.
    pub timesteps: SampledTimesteps,
    /// Of the whole batch.
    labels: BatchLabels,
    /// Low-resolution images for super-resolution, [b, C, h, w].
    low_res: Option<Tensor>,
    /// Images that the network is conditioned on, [b, C', H, W].
    image: Option<Tensor>,
    /// Labels of the augmentation, of the whole batch, [B, 9] on the CPU.
    augment: Option<Tensor>,
    share: Share,
}

/// Settings of a batch.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct BatchOptions {
    /// Side of the low-resolution images, for super-resolution networks.
    pub low_res: Option<i64>,
    /// Standard deviation of the noise that all pixels of a channel share.
    pub offset_noise: f64,
    /// Non-leaky augmentation.
    pub augment: Option<AugmentConfig>,
    /// The image that the network is conditioned on.
    pub condition: Option<ImageCondition>,
    /// Seed of the masks of inpainting, and of what else is drawn for conditions.
    pub condition_seed: u64,
}

/// The images of a batch that one process trains on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Share {
    /// Their positions in the whole batch.
    pub positions: Range<usize>,
    /// False for a stand-in: a process without images computes zero gradients of one blank image, since
    /// all processes take part in averaging gradients.
    pub counts: bool,
}

impl Share {
    /// - positions: may be empty
    pub(crate) fn new(positions: Range<usize>) -> Self {
        match positions.is_empty() {
            true => Self { positions: 0..1, counts: false },
            false => Self { positions, counts: true },
        }
    }
}

impl TrainingBatch {
    /// Draws the noise of a batch.
    ///
    /// - x0: the images of the share, [b, C, H, W] in [-1, 1], on the network's device; with the channels of
    ///   paired pictures behind their own
    /// - timesteps, labels: of the whole batch
    pub(crate) fn new(
        (x0, share): (Tensor, Share),
        timesteps: SampledTimesteps,
        labels: BatchLabels,
        options: BatchOptions,
    ) -> Result<Self, TrainError> {
        let t: Vec<i64> = timesteps.t[share.positions.clone()].iter().map(|&t| t as i64).collect();
        let t = Tensor::f_from_slice(&t)?;
        let mut whole = x0.size();
        whole[0] = timesteps.t.len() as i64;
        whole[1] -= options.condition.map_or(0, |condition| condition.paired_channels());
        let mut noise = Tensor::f_randn(&whole, (x0.kind(), x0.device()))?;
        if options.offset_noise > 0.0 {
            whole[2..].fill(1);
            let offset = Tensor::f_randn(&whole, (x0.kind(), x0.device()))?;
            noise = noise.f_add(&offset.f_mul_scalar(options.offset_noise)?)?;
        }
        let noise = Self::part(&noise, &share.positions)?;
        let (x0, augment) = match options.augment {
            Some(augment) => {
                let positions = share.positions.clone();
                let (x0, labels) = augment.apply(&x0, positions, timesteps.t.len())?;
                (x0, Some(labels))
            }
            None => (x0, None),
        };
        let (x0, image) = match options.condition {
            Some(condition) => {
                let draws = ConditionDraws {
                    seed: options.condition_seed,
                    positions: share.positions.clone(),
                    batch: timesteps.t.len(),
                };
                let (x0, image) = image_condition(condition, &x0, whole[1], &draws)?;
                (x0, Some(image))
            }
            None => (x0, None),
        };
        let low_res =
            options.low_res.map(|side| x0.f_adaptive_avg_pool2d([side, side])).transpose()?;
        Ok(Self { x0, noise, t, timesteps, labels, low_res, image, augment, share })
    }

    /// Number of images of the whole batch.
    pub(crate) fn global_len(&self) -> usize {
        self.timesteps.t.len()
    }

    /// Number of images of this process.
    pub(crate) fn len(&self) -> usize {
        self.share.positions.len()
    }

    /// This process's images.
    pub(crate) fn share(&self) -> &Share {
        &self.share
    }

    /// The positions of a microbatch in the whole batch.
    fn positions(&self, range: &Range<usize>) -> Range<usize> {
        let start = self.share.positions.start;
        start + range.start..start + range.end
    }

    /// The part of a tensor that belongs to a microbatch.
    pub(crate) fn part(tensor: &Tensor, range: &Range<usize>) -> Result<Tensor, TrainError> {
        Ok(tensor.f_narrow(0, range.start as i64, range.len() as i64)?)
    }

    /// The conditioning of a microbatch, with its place in the batch.
    pub(crate) fn conditioning(&self, range: &Range<usize>) -> Result<Conditioning, TrainError> {
        let low_res = self.low_res.as_ref();
        let augment = self.augment.as_ref().map(|labels| -> Result<Tensor, TrainError> {
            let labels = Self::part(labels, &self.positions(range))?;
            Ok(to_device_async(&labels, self.x0.device())?)
        });
        Ok(Conditioning {
            augment: augment.transpose()?,
            low_res: low_res.map(|images| Self::part(images, range)).transpose()?,
            image: self.image.as_ref().map(|images| Self::part(images, range)).transpose()?,
            first_image: self.positions(range).start as i64, // of its dropout masks
            ..self.labels.conditioning(self.positions(range), self.x0.device())?
        })
    }

    /// The importance weights of a microbatch, with the dtype and on the device of `loss`; 0 for a
    /// stand-in.
    pub(crate) fn importance_weights(
        &self,
        range: &Range<usize>,
        loss: &Tensor,
    ) -> Result<Tensor, TrainError> {
        let weights = &self.timesteps.importance_weights[self.positions(range)];
        let weights = Tensor::f_from_slice(weights)?;
        let weights = if self.share.counts { weights } else { weights.f_zeros_like()? };
        Ok(to_device_async(&weights.f_to_kind(loss.kind())?, loss.device())?)
    }
}

/// Splits a batch into microbatches for gradient accumulation.
pub(crate) fn microbatches(
    images: usize,
    microbatch: Option<usize>,
) -> impl Iterator<Item = Range<usize>> {
    let most = microbatch.unwrap_or(images).max(1);
    (0..images).step_by(most).map(move |start| start..(start + most).min(images))
}

/// The seed of all random numbers of one step.
pub(crate) fn step_seed(seed: u64, step: usize) -> u64 {
    split_mix_64(seed, step as u64)
}

/// The seed of the dropout masks of one step, the same for all its microbatches.
pub(crate) fn dropout_seed(seed: u64, step: usize) -> u64 {
    step_seed(step_seed(seed, step), 0)
}

/// Conditioning of the network on labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LabelUse {
    /// Unconditional.
    None,
    /// Context vectors, [B, K]. Classes become one-hot vectors; a dropped label is a zero vector.
    Context,
    /// Class ids.
    Classes {
        /// Class id of a dropped label (the null class), if the network has one.
        null: Option<i64>,
    },
}

/// The labels of all images, as the network takes them.
#[derive(Debug)]
pub(crate) enum LabelTable {
    None,
    /// [N, K]
    Context(Tensor),
    Classes {
        ids: Vec<i64>,
        null: Option<i64>,
    },
}

impl LabelTable {
    pub(crate) fn new(labels: &Labels, label_use: LabelUse) -> Result<Self, TrainError> {
        match (label_use, labels) {
            (LabelUse::None, _) => Ok(Self::None),
            (_, Labels::None) => Err(TrainError::Data {
                given: "no labels".to_string(),
                expected: "a label for each image".to_string(),
            }),
            (LabelUse::Context, labels) => Ok(Self::Context(context_rows(labels)?)),
            (LabelUse::Classes { null }, Labels::Classes { ids, .. }) => {
                Ok(Self::Classes { ids: ids.iter().map(|&id| i64::from(id)).collect(), null })
            }
            (LabelUse::Classes { .. }, Labels::Context(_)) => Err(TrainError::Data {
                given: "weights over contexts".to_string(),
                expected: "one class for each image".to_string(),
            }),
        }
    }

    /// The labels of a batch. Label dropout for classifier-free guidance: each label is dropped
    /// with probability `dropout`, by torch's generator.
    pub(crate) fn batch(&self, indices: &[usize], dropout: f64) -> Result<BatchLabels, TrainError> {
        let batch = indices.len() as i64;
        let kept = || {
            let ones = Tensor::f_ones([batch, 1], (Kind::Float, Device::Cpu))?;
            ones.f_mul_scalar(1.0 - dropout)?.f_bernoulli()
        };
        match self {
            Self::None => Ok(BatchLabels::None),
            Self::Context(rows) => {
                let indices: Vec<i64> = indices.iter().map(|&i| i as i64).collect();
                let rows = rows.f_index_select(0, &Tensor::f_from_slice(&indices)?)?;
                Ok(BatchLabels::Context(rows.f_mul(&kept()?)?))
            }
            Self::Classes { ids, null: None } => {
                Ok(BatchLabels::Classes(indices.iter().map(|&i| ids[i]).collect()))
            }
            Self::Classes { ids, null: Some(null) } => {
                let kept = Vec::<f32>::try_from(&kept()?.f_view([-1])?)?;
                let id = |(&i, kept): (&usize, f32)| if kept > 0.0 { ids[i] } else { *null };
                Ok(BatchLabels::Classes(indices.iter().zip(kept).map(id).collect()))
            }
        }
    }
}

/// Labels as context vectors, [N, K] in f32; classes become one-hot vectors.
fn context_rows(labels: &Labels) -> Result<Tensor, TrainError> {
    match labels {
        Labels::None => Ok(Tensor::f_zeros([0, 0], (Kind::Float, Device::Cpu))?),
        Labels::Context(rows) => {
            let (n, k) = rows.dim();
            let values: Vec<f32> = rows.iter().copied().collect();
            Ok(Tensor::f_from_slice(&values)?.f_view([n as i64, k as i64])?)
        }
        Labels::Classes { ids, count } => {
            let ids: Vec<i64> = ids.iter().map(|&id| i64::from(id)).collect();
            let rows = Tensor::f_from_slice(&ids)?.f_one_hot(*count as i64)?;
            Ok(rows.f_to_kind(Kind::Float)?)
        }
    }
}

/// The labels of one batch, on the CPU.
#[derive(Debug)]
pub(crate) enum BatchLabels {
    None,
    /// [B, K]
    Context(Tensor),
    Classes(Vec<i64>),
}

impl BatchLabels {
    /// The conditioning of a microbatch.
    fn conditioning(
        &self,
        range: Range<usize>,
        device: Device,
    ) -> Result<Conditioning, TrainError> {
        match self {
            Self::None => Ok(Conditioning::none()),
            Self::Context(rows) => {
                let rows = TrainingBatch::part(rows, &range)?;
                Ok(Conditioning::context(to_device_async(&rows, device)?))
            }
            Self::Classes(ids) => Ok(Conditioning::classes(ClassIds::new(&ids[range], device)?)),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn microbatches_cover_the_batch_once() {
        for (images, microbatch, most) in
            [(7, None, 7), (7, Some(3), 3), (6, Some(3), 3), (2, Some(9), 9)]
        {
            let parts: Vec<Range<usize>> = microbatches(images, microbatch).collect();
            assert!(parts.iter().all(|part| (1..=most).contains(&part.len())), "{parts:?}");
            assert_eq!(parts.len(), images.div_ceil(most));
            assert!(parts.into_iter().flatten().eq(0..images));
        }
    }

    /// Noise of variance 1 plus a channel mean of variance 0.25 for each image.
    #[test]
    fn offset_noise_shifts_whole_channels() {
        let _generator = inkdrop_torch::DefaultGenerator::seeded(0);
        let batch = |offset_noise| {
            let x0 = Tensor::zeros([200, 3, 16, 16], (Kind::Float, Device::Cpu));
            let timesteps =
                SampledTimesteps { t: vec![0; 200], importance_weights: vec![1.0; 200] };
            let options = BatchOptions { offset_noise, ..BatchOptions::default() };
            let share = Share::new(0..200);
            TrainingBatch::new((x0, share), timesteps, BatchLabels::None, options).unwrap().noise
        };
        for (offset, variance) in [(0.0, 1.0 / 256.0), (0.5, 0.25 + 1.0 / 256.0)] {
            let means = batch(offset).mean_dim([2i64, 3].as_slice(), false, Kind::Float);
            let found = means.square().mean(Kind::Float).double_value(&[]);
            // 600 means: relative standard deviation √(2/600) = 0.058.
            assert!((found / variance - 1.0).abs() < 0.25, "{offset}: {found}");
        }
    }
}
