//! What is missing in images, drawn so that it fits the rest.

use inkdrop_process::Predictor;
use inkdrop_schedule::{Leg, Path};
use inkdrop_torch::NoiseSource;
use inkdrop_torch::tch::{Tensor, no_grad_guard};

use super::noised;
use crate::step::{combine, draw, report};
use crate::{OnStep, SamplerError};

/// How often what was drawn is drawn again, so that it comes to fit (Lugmayr et al. 2022, section
/// 4.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Repaint {
    /// How often each part of the path is walked, ≥ 1; theirs is 10. 1 only copies the known
    /// pixels in, and leaves seams.
    pub times: usize,
    /// How many steps a part has, ≥ 1; theirs is 10 of 250.
    pub jump: usize,
}

impl Default for Repaint {
    fn default() -> Self {
        Self { times: 10, jump: 10 }
    }
}

impl Repaint {
    fn check(&self) -> Result<(), SamplerError> {
        if self.times > 0 && self.jump > 0 {
            return Ok(());
        }
        Err(SamplerError::Request {
            field: "repaint",
            given: format!("{} times, jumps of {}", self.times, self.jump),
            expected: "at least once, in jumps of at least 1 step".into(),
        })
    }

    /// How many network calls a path of so many steps takes.
    pub fn calls(&self, steps: usize) -> usize {
        // All but the last part, which ends without noise, are walked several times.
        let repeated = (steps - 1) / self.jump * self.jump;
        repeated * self.times + (steps - repeated)
    }
}

/// RePaint: DDPM where the mask is 1; where it is 0 each level gets the image's own noised pixels,
/// and each part of the path is walked several times, noise being added in between (Lugmayr et
/// al. 2022, algorithm 1). Outpainting is the same with a mask that lies outside.
///
/// # Shapes
/// - images: [B, C, H, W] in [−1, 1]
/// - mask: [B or 1, C or 1, H, W], 1 where pixels are drawn, 0 where they are kept; what lies
///   between mixes both
/// - returns [B, C, H, W]; kept pixels are the images' own
///
/// # Errors
/// A mask of another size, settings that cannot be, a network that cannot take the images, or
/// noise that runs out.
pub fn inpaint(
    model: &dyn Predictor,
    path: &Path,
    (images, mask): (&Tensor, &Tensor),
    repaint: Repaint,
    noise: &mut dyn NoiseSource,
    on_step: &mut OnStep,
) -> Result<Tensor, SamplerError> {
    repaint.check()?;
    check_mask(images, mask)?;
    let _guard = no_grad_guard();
    let mask = mask.f_to_kind(images.kind())?;
    let mut x = noised(images, path.start(), noise)?;
    x = mixed(&draw(noise, images)?.f_mul_scalar(path.start().noise())?, &x, &mask)?;
    let legs = path.legs();
    for (part, chunk) in legs.chunks(repaint.jump).enumerate() {
        let ends = part * repaint.jump + chunk.len();
        let times = if ends < legs.len() { repaint.times } else { 1 };
        for time in 0..times {
            if time > 0 {
                x = back(&x, chunk, noise)?;
            }
            for (i, leg) in chunk.iter().enumerate() {
                let prediction = model.predict(&x, leg)?;
                let mut drawn = prediction.step_mean(&x, leg)?;
                if !leg.to.is_clean() {
                    let deviation = prediction.log_variance.f_mul_scalar(0.5)?.f_exp()?;
                    drawn = drawn.f_add(&draw(noise, &x)?.f_mul(&deviation)?)?;
                }
                let known = match leg.to.is_clean() {
                    true => images.shallow_clone(),
                    false => noised(images, leg.to, noise)?,
                };
                x = mixed(&drawn, &known, &mask)?;
                report(path, part * repaint.jump + i, &x, &prediction.x0, on_step)?;
            }
        }
    }
    Ok(x)
}

/// x at the start of some legs again, from their end: the forward process.
fn back(x: &Tensor, legs: &[Leg], noise: &mut dyn NoiseSource) -> Result<Tensor, SamplerError> {
    let (from, to) = (legs[0].from, legs[legs.len() - 1].to);
    let kept = from.alpha_cumprod / to.alpha_cumprod;
    combine(&[(kept.sqrt(), x), ((1.0 - kept).sqrt(), &draw(noise, x)?)])
}

/// What is drawn where the mask is 1, what is known where it is 0.
fn mixed(drawn: &Tensor, known: &Tensor, mask: &Tensor) -> Result<Tensor, SamplerError> {
    Ok(drawn.f_sub(known)?.f_mul(mask)?.f_add(known)?)
}

fn check_mask(images: &Tensor, mask: &Tensor) -> Result<(), SamplerError> {
    let (images, mask) = (images.size(), mask.size());
    let fits = mask.len() == images.len()
        && mask
            .iter()
            .zip(&images)
            .enumerate()
            .all(|(axis, (&m, &i))| m == i || (axis < 2 && m == 1));
    if fits {
        return Ok(());
    }
    Err(SamplerError::Request {
        field: "mask",
        given: format!("{mask:?}"),
        expected: format!(
            "the size of the images, {images:?}, with 1 for all images or all channels"
        ),
    })
}
