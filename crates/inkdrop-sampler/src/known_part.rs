//! Editing by a known part of the images: inpainting, super-resolution and colorization without training,
//! for any sampler (Song et al. 2023, algorithm 4; Wang et al. 2023, DDNM).

use inkdrop_process::{Denoiser, Prediction, ProcessError};
use inkdrop_schedule::SolverStep;
use inkdrop_torch::TorchError;
use inkdrop_torch::tch::{Kind, Tensor};

use crate::SamplerError;

/// The luma of RGB (ITU-R BT.601).
const LUMA: [f64; 3] = [0.299, 0.587, 0.114];

/// The known part of images: a linear function A of them with its value. The rest is generated.
#[derive(Debug)]
pub struct KnownPart {
    kind: KnownKind,
    /// Images with this value of A, [B, C, H, W] in [−1, 1].
    images: Tensor,
}

#[derive(Debug)]
enum KnownKind {
    /// The pixels where the mask is 0.
    Pixels { mask: Tensor },
    /// The mean of every square of pixels.
    Means { factor: i64 },
    /// The luma of every pixel.
    Luma,
}

impl KnownPart {
    /// Inpainting: the pixels where the mask is 0 are known.
    ///
    /// # Shapes
    /// - images: [B, C, H, W] in [−1, 1]
    /// - mask: [B or 1, C or 1, H, W], 1 where pixels are generated
    ///
    /// # Errors
    /// A mask of another size.
    pub fn pixels(images: &Tensor, mask: &Tensor) -> Result<Self, SamplerError> {
        crate::edit::check_mask(images, mask)?;
        let mask = mask.f_to_kind(images.kind())?;
        // Without a value of its own, an unknown pixel is gray.
        let known = images.f_sub(&images.f_mul(&mask)?)?;
        Ok(Self { kind: KnownKind::Pixels { mask }, images: known })
    }

    /// Super-resolution: the mean of every square of `factor` by `factor` pixels is known.
    ///
    /// # Shapes
    /// - small: [B, C, h, w] in [−1, 1]; the images are [B, C, h·factor, w·factor]
    ///
    /// # Errors
    /// A factor below 2.
    pub fn means(small: &Tensor, factor: i64) -> Result<Self, SamplerError> {
        if factor < 2 {
            let (given, expected) = (factor.to_string(), "an integer of at least 2".into());
            return Err(SamplerError::Request { field: "factor", given, expected });
        }
        Ok(Self { kind: KnownKind::Means { factor }, images: enlarged(small, factor)? })
    }

    /// Colorization: the luma of every pixel is known.
    ///
    /// # Shapes
    /// - images: [B, 1 or 3, H, W] in [−1, 1], gray or with other colours; the results are [B, 3, H, W]
    ///
    /// # Errors
    /// Images of another number of channels.
    pub fn luma(images: &Tensor) -> Result<Self, SamplerError> {
        let gray = match images.size()[..] {
            [_, 1, _, _] => images.shallow_clone(),
            [_, 3, _, _] => luma(images)?,
            _ => {
                let (given, expected) = (format!("{:?}", images.size()), "[B, 1 or 3, H, W]");
                let expected = expected.into();
                return Err(SamplerError::Request { field: "images", given, expected });
            }
        };
        Ok(Self { kind: KnownKind::Luma, images: gray.f_repeat([1, 3, 1, 1])? })
    }

    /// Images with the known part, gray or smooth elsewhere, [B, C, H, W]: noise is added to them at the
    /// start.
    pub fn images(&self) -> &Tensor {
        &self.images
    }

    /// x0 with its known part replaced: x0 + A⁺(y − A x0).
    ///
    /// # Shapes
    /// - x0: [B, C, H, W]; returns the same
    ///
    /// # Errors
    /// Shapes that differ.
    pub fn project(&self, x0: &Tensor) -> Result<Tensor, TorchError> {
        let missing = self.images.f_sub(x0)?;
        let correction = match &self.kind {
            KnownKind::Pixels { mask } => missing.f_sub(&missing.f_mul(mask)?)?,
            KnownKind::Means { factor } => {
                let square = [*factor, *factor];
                let means = missing.f_avg_pool2d(square, square, [0, 0], false, true, None)?;
                enlarged(&means, *factor)?
            }
            KnownKind::Luma => {
                // The weights sum to 1, but they are no unit vector.
                let square: f64 = LUMA.iter().map(|weight| weight * weight).sum();
                luma(&missing)?.f_mul(&luma_weights(x0)?)?.f_div_scalar(square)?
            }
        };
        Ok(x0.f_add(&correction)?)
    }
}

/// The weights of the luma, [1, 3, 1, 1], for x.
fn luma_weights(x: &Tensor) -> Result<Tensor, TorchError> {
    let weights = Tensor::f_from_slice(&LUMA)?.f_to_kind(x.kind())?.f_view([1, 3, 1, 1])?;
    Ok(weights.f_to_device(x.device())?)
}

/// The luma of RGB images, [B, 1, H, W].
fn luma(x: &Tensor) -> Result<Tensor, TorchError> {
    Ok(x.f_mul(&luma_weights(x)?)?.f_sum_dim_intlist(&[1_i64][..], true, None::<Kind>)?)
}

/// Every pixel as a square of pixels.
fn enlarged(small: &Tensor, factor: i64) -> Result<Tensor, TorchError> {
    Ok(small
        .f_repeat_interleave_self_int(factor, 2, None)?
        .f_repeat_interleave_self_int(factor, 3, None)?)
}

/// A denoiser whose predicted images have the known part. With the consistency sampler it is the editing of
/// Song et al. 2023 (algorithm 4), with DDIM and DDPM that of Wang et al. 2023.
#[derive(Debug)]
pub struct WithKnownPart<D> {
    denoiser: D,
    known: KnownPart,
}

impl<D: Denoiser> WithKnownPart<D> {
    /// A denoiser of the images of the known part.
    pub fn new(denoiser: D, known: KnownPart) -> Self {
        Self { denoiser, known }
    }
}

impl<D: Denoiser> Denoiser for WithKnownPart<D> {
    fn denoise(&self, x: &Tensor, step: &SolverStep) -> Result<Prediction, ProcessError> {
        let prediction = self.denoiser.denoise(x, step)?;
        let x0 = self.known.project(&prediction.x0)?;
        prediction.with_x0(x0, x, step)
    }
}
