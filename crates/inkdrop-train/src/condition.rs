//! The images that networks are conditioned on in training: masks, dropout and noise.

use std::ops::Range;

use inkdrop_data::mask;
use inkdrop_process::ImageCondition;
use inkdrop_process::image_condition::{enlarge, masked, reduce};
use inkdrop_torch::tch::Tensor;
use inkdrop_torch::{split_mix_64, to_device_async};

use crate::TrainError;
use crate::batch::TrainingBatch;

/// What is drawn for the conditions of images. It depends on the seed and an image's position alone, neither on
/// processes nor on microbatches.
#[derive(Debug, Clone)]
pub(crate) struct ConditionDraws {
    pub seed: u64,
    /// Positions of the images in the whole batch.
    pub positions: Range<usize>,
    /// Number of images of the whole batch.
    pub batch: usize,
}

impl ConditionDraws {
    /// A number from 0 to 1 (exclusive) for each image.
    ///
    /// - stream: another one has other numbers
    fn uniform(&self, stream: u64) -> Vec<f64> {
        let seed = split_mix_64(!self.seed, stream); // not that of the masks
        let one = |position| split_mix_64(seed, position as u64) >> 11;
        self.positions.clone().map(|position| one(position) as f64 / (1u64 << 53) as f64).collect()
    }

    /// A number for each image, [b, 1, 1, 1], as x.
    fn factors(numbers: &[f64], x: &Tensor) -> Result<Tensor, TrainError> {
        let numbers = Tensor::f_from_slice(numbers)?.f_to_kind(x.kind())?.f_view([-1, 1, 1, 1])?;
        Ok(to_device_async(&numbers, x.device())?)
    }

    /// Images with noise of a drawn level (conditioning augmentation, Ho et al. 2022).
    fn noisy(&self, small: Tensor, [least, most]: [f64; 2]) -> Result<Tensor, TrainError> {
        if most == 0.0 {
            return Ok(small); // no random number is drawn
        }
        let level = |share: f64| least + (most - least) * share;
        let levels: Vec<f64> = self.uniform(0).into_iter().map(level).collect();
        let mut shape = small.size();
        shape[0] = self.batch as i64;
        let noise = Tensor::f_randn(&shape, (small.kind(), small.device()))?;
        let noise = TrainingBatch::part(&noise, &self.positions)?;
        Ok(small.f_add(&noise.f_mul(&Self::factors(&levels, &small)?)?)?)
    }

    /// Conditions of which a share is zeros.
    fn dropped(&self, image: Tensor, dropout: f64) -> Result<Tensor, TrainError> {
        if dropout == 0.0 {
            return Ok(image);
        }
        let kept = |share: f64| if share < dropout { 0.0 } else { 1.0 };
        let kept: Vec<f64> = self.uniform(1).into_iter().map(kept).collect();
        Ok(image.f_mul(&Self::factors(&kept, &image)?)?)
    }
}

/// The images of a batch, and what the network is conditioned on.
///
/// - x: images with the channels of paired pictures behind their `channels` own
pub(crate) fn image_condition(
    condition: ImageCondition,
    x: &Tensor,
    channels: i64,
    draws: &ConditionDraws,
) -> Result<(Tensor, Tensor), TrainError> {
    let [height, width] = [x.size()[2], x.size()[3]];
    let (x, image) = match condition {
        ImageCondition::Pair { channels: paired, .. } => {
            (x.f_narrow(1, 0, channels)?, x.f_narrow(1, channels, paired)?)
        }
        ImageCondition::Mask { share, .. } => {
            let size = [height as usize, width as usize];
            let draw =
                |position| mask::draw(size, share, split_mix_64(draws.seed, position as u64));
            let pixels: Vec<f32> = draws.positions.clone().flat_map(draw).map(f32::from).collect();
            let masks = Tensor::f_from_slice(&pixels)?.f_view([x.size()[0], 1, height, width])?;
            let masks = to_device_async(&masks, x.device())?;
            (x.shallow_clone(), masked(x, &masks)?)
        }
        ImageCondition::LowRes { factor, noise, .. } => {
            let small = draws.noisy(reduce(x, factor)?, noise)?;
            (x.shallow_clone(), enlarge(&small, [height, width])?)
        }
    };
    Ok((x, draws.dropped(image, condition.dropout())?))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use inkdrop_torch::tch::{Device, Kind};

    use super::*;

    /// Conditions of the images of one whole batch, [B, 3, 8, 8], and those of each of two processes.
    fn conditions(condition: ImageCondition, seed: u64) -> [Tensor; 2] {
        let x = Tensor::ones([400, 3, 8, 8], (Kind::Float, Device::Cpu)) * 0.5;
        let of = |positions: Range<usize>| {
            let _generator = inkdrop_torch::DefaultGenerator::seeded(seed as i64);
            let part = TrainingBatch::part(&x, &positions).unwrap();
            let draws = ConditionDraws { seed, positions, batch: 400 };
            image_condition(condition, &part, 3, &draws).unwrap().1
        };
        [of(0..400), Tensor::cat(&[of(0..150), of(150..400)], 0)]
    }

    #[test]
    fn a_share_of_the_conditions_is_zeros() {
        let low_res = |dropout| ImageCondition::LowRes { factor: 2, noise: [0.0; 2], dropout };
        let [plain, _] = conditions(low_res(0.0), 7);
        let [dropped, parts] = conditions(low_res(0.3), 7);
        assert_eq!(dropped, parts, "processes share a batch");
        let largest = dropped.abs().amax([1i64, 2, 3].as_slice(), false);
        let kept = largest.gt(0.0);
        assert_eq!(dropped, &plain * kept.to_kind(Kind::Float).view([-1, 1, 1, 1]));
        let share = 1.0 - kept.to_kind(Kind::Double).mean(Kind::Double).double_value(&[]);
        assert!((share - 0.3).abs() < 0.08, "{share}"); // four standard deviations: 0.09
        assert_ne!(dropped, conditions(low_res(0.3), 8)[0], "another step drops others");
    }

    /// The standard deviations of the noise lie evenly between both numbers.
    #[test]
    fn noise_of_conditions_has_levels_between_both_numbers() {
        let low_res = |noise| ImageCondition::LowRes { factor: 2, noise, dropout: 0.0 };
        let clean = {
            let x = Tensor::ones([400, 3, 8, 8], (Kind::Float, Device::Cpu)) * 0.5;
            reduce(&x, 2).unwrap()
        };
        let draws = ConditionDraws { seed: 3, positions: 0..400, batch: 400 };
        let noisy = draws.noisy(clean.shallow_clone(), [0.1, 0.3]).unwrap();
        let level = (noisy - &clean).square().mean_dim([1i64, 2, 3].as_slice(), false, Kind::Float);
        let level = level.sqrt(); // of 48 numbers: relative standard deviation 0.1
        let [least, mean, most] =
            [level.min(), level.mean(Kind::Float), level.max()].map(|x| x.double_value(&[]));
        assert!(least > 0.05 && least < 0.12, "{least}");
        assert!((mean - 0.2).abs() < 0.02, "{mean}");
        assert!(most > 0.27 && most < 0.45, "{most}");
        let [whole, parts] = conditions(low_res([0.1, 0.3]), 5);
        assert_eq!(whole, parts, "processes share a batch");
        let [none, _] = conditions(low_res([0.0; 2]), 5);
        assert!(none.std(false).double_value(&[]) < 1e-6);
    }
}
