//! Images that are noised and drawn again.

use inkdrop_process::Predictor;
use inkdrop_schedule::{Level, Path, Schedule};
use inkdrop_torch::NoiseSource;
use inkdrop_torch::tch::Tensor;

use crate::step::{combine, draw};
use crate::{OnStep, Sampler, SamplerError};

/// Images with the noise of a level: √ᾱ·x0 + √(1−ᾱ)·ε (Ho et al. 2020, eq. 4).
///
/// # Shapes
/// - x0: [B, C, H, W]; returns the same
///
/// # Errors
/// The noise runs out.
pub fn noised(
    x0: &Tensor,
    level: Level,
    noise: &mut dyn NoiseSource,
) -> Result<Tensor, SamplerError> {
    combine(&[(level.signal(), x0), (level.noise(), &draw(noise, x0)?)])
}

/// Variations of images: so much noise that only their coarse layout is left, and the last part of
/// a path from there (SDEdit, Meng et al. 2022, algorithm 1).
///
/// - strength: the share of the path that is walked, above 0 (nothing changes) to 1 (nothing
///   stays); rounded up to whole steps
///
/// # Shapes
/// - images: [B, C, H, W] in [−1, 1]; returns the same
///
/// # Errors
/// A strength outside its range, and those of the sampler.
#[allow(clippy::too_many_arguments)]
pub fn img2img(
    model: &dyn Predictor,
    sampler: &Sampler,
    schedule: &Schedule,
    path: &Path,
    images: &Tensor,
    strength: f64,
    noise: &mut dyn NoiseSource,
    on_step: &mut OnStep,
) -> Result<Tensor, SamplerError> {
    let steps = (path.steps() as f64 * strength).ceil();
    let part = (strength > 0.0 && strength <= 1.0).then(|| path.last(steps as usize)).flatten();
    let part = part.ok_or_else(|| SamplerError::Request {
        field: "strength",
        given: strength.to_string(),
        expected: "above 0 (the image stays) to 1 (a new image)".into(),
    })?;
    let x = noised(images, part.start(), noise)?;
    sampler.walk(model, schedule, &part, x, noise, on_step)
}
