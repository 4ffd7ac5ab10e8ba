//! The image that a network is conditioned on: a paired picture, a masked picture, or a low-resolution one.

use inkdrop_torch::Result as TorchResult;
use inkdrop_torch::tch::Tensor;
use serde::{Deserialize, Serialize};

use crate::ProcessError;

/// The kind of image that a network is conditioned on. Its channels are concatenated with those of x
/// ([`ImageConditioned`](inkdrop_nn::ImageConditioned)).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum ImageCondition {
    /// A paired picture (image-to-image translation; Palette, Saharia et al. 2022).
    Pair {
        /// Its channels, 1 to 16.
        #[serde(default = "rgb")]
        channels: i64,
        /// As [`ImageCondition::dropout`].
        #[serde(default, skip_serializing_if = "is_zero")]
        dropout: f64,
    },
    /// Inpainting: the mask, then the picture with zeros in the masked region (Palette, section 3).
    Mask {
        /// Smallest and largest share of the image that a mask of the training covers, 0 to 1.
        #[serde(default = "share")]
        share: [f64; 2],
        /// As [`ImageCondition::dropout`].
        #[serde(default, skip_serializing_if = "is_zero")]
        dropout: f64,
    },
    /// Super-resolution: the low-resolution image, enlarged by bicubic interpolation (SR3, Saharia et al. 2021).
    LowRes {
        /// Size of the image divided by that of the low-resolution image; ≥ 2.
        factor: i64,
        /// As [`ImageCondition::noise`].
        #[serde(default, skip_serializing_if = "is_none")]
        noise: [f64; 2],
        /// As [`ImageCondition::dropout`].
        #[serde(default, skip_serializing_if = "is_zero")]
        dropout: f64,
    },
}

fn is_zero(value: &f64) -> bool {
    *value == 0.0
}

fn is_none(noise: &[f64; 2]) -> bool {
    *noise == [0.0; 2]
}

fn rgb() -> i64 {
    3
}

fn share() -> [f64; 2] {
    [0.1, 0.6]
}

impl ImageCondition {
    /// The name of the kind: `pair`, `mask` or `low-res`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Pair { .. } => "pair",
            Self::Mask { .. } => "mask",
            Self::LowRes { .. } => "low-res",
        }
    }

    /// Channels of the condition.
    ///
    /// - image: channels of the generated image
    pub fn channels(&self, image: i64) -> i64 {
        match *self {
            Self::Pair { channels, .. } => channels,
            Self::Mask { .. } => image.saturating_add(1),
            Self::LowRes { .. } => image,
        }
    }

    /// Channels of the data behind those of the image: those of a paired picture.
    pub fn paired_channels(&self) -> i64 {
        match *self {
            Self::Pair { channels, .. } => channels,
            Self::Mask { .. } | Self::LowRes { .. } => 0,
        }
    }

    /// Share of the images of a step whose condition is zeros, 0 to 1 (exclusive): a network that knows both can be guided
    /// by the condition (Brooks et al. 2023, section 3.2).
    pub fn dropout(&self) -> f64 {
        match *self {
            Self::Pair { dropout, .. }
            | Self::Mask { dropout, .. }
            | Self::LowRes { dropout, .. } => dropout,
        }
    }

    /// Least and most standard deviation of the noise in low-resolution images, in units of data in [-1, 1]: each image of
    /// a step has one drawn between both, samples have the least (conditioning augmentation, Ho et al. 2022). The
    /// network is not told the noise level.
    pub fn noise(&self) -> [f64; 2] {
        match *self {
            Self::LowRes { noise, .. } => noise,
            Self::Pair { .. } | Self::Mask { .. } => [0.0; 2],
        }
    }

    /// The condition of a validation or a sample: never dropped, with the least noise.
    pub fn for_sampling(mut self) -> Self {
        match &mut self {
            Self::Pair { dropout, .. } | Self::Mask { dropout, .. } => *dropout = 0.0,
            Self::LowRes { noise, dropout, .. } => (noise[1], *dropout) = (noise[0], 0.0),
        }
        self
    }

    /// Checks the numbers.
    ///
    /// - height, width: of the generated image
    ///
    /// # Errors
    /// A number out of range, or a factor that does not divide the size.
    pub fn check(&self, [height, width]: [i64; 2]) -> Result<(), ProcessError> {
        let error = |field, given, expected| Err(ProcessError::Field { field, given, expected });
        let (dropout, [least, most]) = (self.dropout(), self.noise());
        if !(0.0..1.0).contains(&dropout) {
            return error("condition.dropout", dropout, "0 or more, below 1");
        }
        if !(0.0 <= least && least <= most && most <= 1.0) {
            let given = if (0.0..=1.0).contains(&most) { least } else { most };
            return error("condition.noise", given, "[least, most] with 0 ≤ least ≤ most ≤ 1");
        }
        match *self {
            Self::Pair { channels, .. } if !(1..=16).contains(&channels) => {
                error("condition.channels", channels as f64, "1 to 16")
            }
            Self::Mask { share: [least, most], .. }
                if !(0.0..=most).contains(&least) || most > 1.0 =>
            {
                let given = if most > 1.0 { most } else { least };
                error("condition.share", given, "[least, most] with 0 ≤ least ≤ most ≤ 1")
            }
            Self::LowRes { factor, .. }
                if factor < 2 || height % factor != 0 || width % factor != 0 =>
            {
                let expected = "at least 2, a divisor of the height and the width of the images";
                error("condition.factor", factor as f64, expected)
            }
            _ => Ok(()),
        }
    }
}

/// The condition of an inpainting network: mask and masked picture, [B, 1 + C, H, W].
///
/// - x: images in [-1, 1], [B, C, H, W]
/// - mask: [B, 1, H, W], 1 where pixels are generated
///
/// # Errors
/// The mask has another size.
pub fn masked(x: &Tensor, mask: &Tensor) -> TorchResult<Tensor> {
    let kept = x.f_mul(&mask.f_mul_scalar(-1.0)?.f_add_scalar(1.0)?)?;
    Ok(Tensor::f_cat(&[mask, &kept], 1)?)
}

/// The low-resolution form of images, as a file holds it: means over squares, rounded to bytes.
///
/// - x: in [-1, 1], [B, C, H, W]; returns [B, C, H / factor, W / factor]
///
/// # Errors
/// x has another number of axes, or is smaller than the factor.
pub fn reduce(x: &Tensor, factor: i64) -> TorchResult<Tensor> {
    let means = x.f_avg_pool2d([factor, factor], [factor, factor], [0, 0], false, true, None)?;
    let bytes = means.f_add_scalar(1.0)?.f_mul_scalar(127.5)?.f_round()?;
    Ok(bytes.f_div_scalar(127.5)?.f_sub_scalar(1.0)?)
}

/// Low-resolution images, enlarged by bicubic interpolation to [B, C, height, width].
///
/// # Errors
/// `small` has another number of axes.
pub fn enlarge(small: &Tensor, size: [i64; 2]) -> TorchResult<Tensor> {
    Ok(small.f_upsample_bicubic2d(size, false, None, None)?)
}
