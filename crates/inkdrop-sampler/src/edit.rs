//! Image editing: image-to-image, inpainting, and interpolation between latents.

use std::ops::Range;

use inkdrop_process::Denoiser;
use inkdrop_schedule::{MAX_STEPS, NoiseLevel, NoiseLevels, SamplingSchedule, SolverStep};
use inkdrop_torch::NoiseSource;
use inkdrop_torch::tch::{Kind, Tensor, no_grad_guard};

use crate::solver::{combine, noise_like};
use crate::{Ddpm, Sampler, SamplerError, SamplingRun, ScheduledStep, Solver, StepState};

/// Adds noise to images up to a level: √ᾱ·x0 + √(1−ᾱ)·ε (Ho et al. 2020, eq. 4).
///
/// # Shapes
/// - x0: [B, C, H, W]; returns the same
///
/// # Errors
/// The noise source runs out.
pub fn add_noise(
    x0: &Tensor,
    level: NoiseLevel,
    noise: &mut dyn NoiseSource,
) -> Result<Tensor, SamplerError> {
    combine(&[(level.signal(), x0), (level.noise(), &noise_like(noise, x0)?)])
}

/// The last steps of a schedule: those of image-to-image (SDEdit, Meng et al. 2022, algorithm 1).
///
/// - strength: fraction of the schedule, above 0 (the image is kept) to 1 (a new image); rounded up to
///   whole steps
///
/// # Errors
/// A strength outside its range.
pub fn img2img_schedule(
    schedule: &SamplingSchedule,
    strength: f64,
) -> Result<SamplingSchedule, SamplerError> {
    let steps = (schedule.len() as f64 * strength - 1e-9).ceil(); // 50 · 0.28 is a bit more than 14
    let in_range = strength > 0.0 && strength <= 1.0;
    let part = in_range.then(|| schedule.last_steps(steps.max(1.0) as usize)).flatten();
    part.ok_or_else(|| SamplerError::Request {
        field: "strength",
        given: strength.to_string(),
        expected: "above 0 (the image is kept) to 1 (a new image)".into(),
    })
}

/// Image-to-image: variations of images by [`add_noise`] and denoising in the steps of [`img2img_schedule`].
///
/// # Shapes
/// - images: [B, C, H, W] in [−1, 1]; returns the same
///
/// # Errors
/// A strength outside its range, the noise source runs out, or the sampler fails.
pub fn img2img(
    denoiser: &dyn Denoiser,
    sampler: &Sampler,
    (levels, schedule): (&dyn NoiseLevels, &SamplingSchedule),
    images: &Tensor,
    strength: f64,
    noise: &mut dyn NoiseSource,
) -> Result<Tensor, SamplerError> {
    let schedule = img2img_schedule(schedule, strength)?;
    let x = add_noise(images, schedule.start(), noise)?;
    sampler.sample(denoiser, levels, &schedule, x, noise)
}

/// Resampling of RePaint: how often each part of the schedule is repeated, so that the inpainted region
/// fits its surroundings (Lugmayr et al. 2022, section 4.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Repaint {
    /// Passes over each part, ≥ 1; the paper uses 10. With 1, known pixels are only copied in, which
    /// leaves seams.
    pub times: usize,
    /// Steps of a part (jump length), ≥ 1; the paper uses 10 of 250.
    pub jump: usize,
}

impl Default for Repaint {
    fn default() -> Self {
        Self { times: 10, jump: 10 }
    }
}

/// One move of a RePaint run.
#[derive(Debug, Clone)]
enum Move {
    /// A DDPM step.
    Denoise(usize),
    /// Forward noise from the end of some steps back to their start.
    Renoise(Range<usize>),
}

impl Repaint {
    /// - steps: of the schedule
    fn check(&self, steps: usize) -> Result<(), SamplerError> {
        if self.times > 0 && self.jump > 0 && self.calls(steps) <= MAX_STEPS {
            return Ok(());
        }
        Err(SamplerError::Request {
            field: "repaint",
            given: format!("{} times, jumps of {}, {steps} steps", self.times, self.jump),
            expected: format!(
                "at least 1 pass, in jumps of at least 1 step, and at most {MAX_STEPS} network calls"
            ),
        })
    }

    /// Number of network calls for a schedule with so many steps.
    pub fn calls(&self, steps: usize) -> usize {
        // The last part ends at clean data and is not repeated.
        let jump = self.jump.max(1);
        let repeated = steps.saturating_sub(1) / jump * jump;
        repeated.saturating_mul(self.times).saturating_add(steps - repeated)
    }

    /// The moves of a run over so many steps.
    fn moves(&self, steps: usize) -> Vec<Move> {
        let mut moves = Vec::new();
        for start in (0..steps).step_by(self.jump) {
            let part = start..start.saturating_add(self.jump).min(steps);
            let times = if part.end < steps { self.times } else { 1 };
            for time in 0..times {
                if time > 0 {
                    moves.push(Move::Renoise(part.clone()));
                }
                moves.extend(part.clone().map(Move::Denoise));
            }
        }
        moves
    }
}

/// A run of RePaint inpainting (Lugmayr et al. 2022, algorithm 1): DDPM where the mask is 1; where it is
/// 0, each step inserts the known pixels at its noise level. Outpainting is the same with an outer mask.
#[must_use = "nothing is computed before the iterator is advanced"]
pub struct Inpaint<'a> {
    denoiser: Box<dyn Denoiser + 'a>,
    schedule: SamplingSchedule,
    noise: Box<dyn NoiseSource + 'a>,
    images: Tensor,
    mask: Tensor,
    x: Tensor,
    moves: std::vec::IntoIter<Move>,
    index: usize,
    count: usize,
}

impl<'a> Inpaint<'a> {
    /// Prepares a run. It draws the initial noise.
    ///
    /// # Shapes
    /// - images: [B, C, H, W] in [−1, 1]
    /// - mask: [B or 1, C or 1, H, W], 1 where pixels are generated, 0 where they are kept; values in
    ///   between blend both
    ///
    /// # Errors
    /// A mask of another size, invalid [`Repaint`] values, or the noise source runs out.
    pub fn new(
        denoiser: impl Denoiser + 'a,
        schedule: &SamplingSchedule,
        (images, mask): (&Tensor, &Tensor),
        repaint: Repaint,
        noise: impl NoiseSource + 'a,
    ) -> Result<Self, SamplerError> {
        repaint.check(schedule.len())?;
        check_mask(images, mask)?;
        let _guard = no_grad_guard();
        let denoiser = Box::new(denoiser);
        let mut noise = Box::new(noise);
        let (images, mask) = (images.shallow_clone(), mask.f_to_kind(images.kind())?);
        let known = add_noise(&images, schedule.start(), noise.as_mut())?;
        let unknown =
            noise_like(noise.as_mut(), &images)?.f_mul_scalar(schedule.start().noise())?;
        let x = blend(&unknown, &known, &mask)?;
        let (moves, count) = (repaint.moves(schedule.len()), repaint.calls(schedule.len()));
        let (moves, schedule) = (moves.into_iter(), schedule.clone());
        Ok(Self { denoiser, schedule, noise, images, mask, x, moves, index: 0, count })
    }

    fn denoise(&mut self, step: usize) -> Result<StepState, SamplerError> {
        let Self { denoiser, schedule, noise, images, mask, .. } = self;
        let step = ScheduledStep::new(schedule, step)
            .ok_or_else(|| inkdrop_torch::TorchError::message("no such step".into()))?;
        let mut output = Ddpm.step(denoiser, step, &self.x, noise.as_mut())?;
        let known = match step.to.is_noiseless() {
            true => images.shallow_clone(),
            false => add_noise(images, step.to, noise.as_mut())?,
        };
        output.x = blend(&output.x, &known, mask)?;
        self.x = output.x.shallow_clone();
        let state = StepState::new((self.index, self.count), step.from, output)?;
        self.index += 1;
        Ok(state)
    }

    /// The next DDPM step, after the forward noise before it.
    fn advance(&mut self) -> Option<Result<StepState, SamplerError>> {
        loop {
            match self.moves.next()? {
                Move::Denoise(step) => return Some(self.denoise(step)),
                Move::Renoise(part) => {
                    let steps = &self.schedule.steps()[part];
                    match renoise_back(&self.x, steps, self.noise.as_mut()) {
                        Ok(x) => self.x = x,
                        Err(error) => return Some(Err(error)),
                    }
                }
            }
        }
    }
}

impl Iterator for Inpaint<'_> {
    type Item = Result<StepState, SamplerError>;

    fn next(&mut self) -> Option<Self::Item> {
        let _guard = no_grad_guard();
        let state = self.advance()?;
        if state.is_err() {
            self.moves = Vec::new().into_iter();
        }
        Some(state)
    }
}

impl SamplingRun for Inpaint<'_> {
    fn x(&self) -> &Tensor {
        &self.x
    }
}

/// Inpaints images with [`Inpaint`].
///
/// # Errors
/// Those of [`Inpaint::new`], the denoiser does not accept the images, or x becomes NaN or infinite.
pub fn inpaint(
    denoiser: &dyn Denoiser,
    schedule: &SamplingSchedule,
    images_and_mask: (&Tensor, &Tensor),
    repaint: Repaint,
    noise: &mut dyn NoiseSource,
) -> Result<Tensor, SamplerError> {
    Inpaint::new(denoiser, schedule, images_and_mask, repaint, noise)?.finish()
}

/// The forward process from the end of some steps back to their start.
fn renoise_back(
    x: &Tensor,
    steps: &[SolverStep],
    noise: &mut dyn NoiseSource,
) -> Result<Tensor, SamplerError> {
    let (from, to) = (steps[0].from, steps[steps.len() - 1].to);
    let ratio = from.alpha_cumprod / to.alpha_cumprod;
    combine(&[(ratio.sqrt(), x), ((1.0 - ratio).sqrt(), &noise_like(noise, x)?)])
}

/// Generated pixels where the mask is 1, known pixels where it is 0.
fn blend(generated: &Tensor, known: &Tensor, mask: &Tensor) -> Result<Tensor, SamplerError> {
    Ok(generated.f_sub(known)?.f_mul(mask)?.f_add(known)?)
}

pub(crate) fn check_mask(images: &Tensor, mask: &Tensor) -> Result<(), SamplerError> {
    let (images, mask) = (images.size(), mask.size());
    let axes = mask.iter().zip(&images).enumerate();
    let fits = mask.len() == images.len() && { axes }
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

/// Spherical linear interpolation of two noises (Shoemake 1985; Song et al. 2020, eq. 67). It keeps the
/// norm of noise, which linear interpolation does not.
///
/// Each image has its own angle. Parallel noises are interpolated linearly.
///
/// - weight: 0 is a, 1 is b
///
/// # Shapes
/// - a, b: [B, C, H, W]; returns the same
///
/// # Errors
/// Shapes that differ.
pub fn slerp(a: &Tensor, b: &Tensor, weight: f64) -> Result<Tensor, SamplerError> {
    let dot = |a: &Tensor, b: &Tensor| -> Result<Tensor, SamplerError> {
        let axes: Vec<i64> = (1..a.dim() as i64).collect();
        Ok(a.f_mul(b)?.f_sum_dim_intlist(&axes[..], true, Kind::Double)?)
    };
    // The dot products are f64: in f32 the angle of nearly parallel noises would be all rounding.
    let cosine = dot(a, b)?.f_div(&dot(a, a)?.f_mul(&dot(b, b)?)?.f_sqrt()?)?;
    let angle = cosine.f_clamp(-1.0, 1.0)?.f_acos()?;
    let sine = angle.f_sin()?;
    let coef = |weight: f64| -> Result<Tensor, SamplerError> {
        let spherical = angle.f_mul_scalar(weight)?.f_sin()?.f_div(&sine)?;
        let linear = sine.f_full_like(weight)?;
        Ok(linear.f_where_self(&sine.f_lt(1e-6)?, &spherical)?.f_to_kind(a.kind())?)
    };
    Ok(a.f_mul(&coef(1.0 - weight)?)?.f_add(&b.f_mul(&coef(weight)?)?)?)
}

/// A grid of noises between four corners, by spherical interpolation.
///
/// # Shapes
/// - corners: top left, bottom left, top right, bottom right, [1, C, H, W] each
/// - returns [rows·columns, C, H, W], row by row
///
/// # Errors
/// No rows or columns, or shapes that differ.
pub fn latent_grid(
    corners: [&Tensor; 4],
    rows: usize,
    columns: usize,
) -> Result<Tensor, SamplerError> {
    if rows == 0 || columns == 0 {
        return Err(SamplerError::Request {
            field: "grid",
            given: format!("{rows} by {columns}"),
            expected: "at least one row and one column".into(),
        });
    }
    let weight = |i: usize, count: usize| i as f64 / (count.max(2) - 1) as f64;
    let mut noises = Vec::with_capacity(rows * columns);
    for row in 0..rows {
        let left = slerp(corners[0], corners[1], weight(row, rows))?;
        let right = slerp(corners[2], corners[3], weight(row, rows))?;
        for column in 0..columns {
            noises.push(slerp(&left, &right, weight(column, columns))?);
        }
    }
    Ok(Tensor::f_cat(&noises, 0)?)
}
