//! What a sampler shows of each step, and how it can fail.

use inkdrop_process::{Prediction, ProcessError};
use inkdrop_schedule::{Level, Path, ScheduleError};
use inkdrop_torch::tch::{Kind, TchError, Tensor};
use inkdrop_torch::{NoiseSource, TorchError};

/// One step that was taken.
#[derive(Debug)]
pub struct Step<'a> {
    /// i: how many steps were taken before this one.
    pub number: usize,
    /// How many there will be.
    pub total: usize,
    /// t: the position in the full process at which the step started, T − 1 to 0.
    pub time: f64,
    /// x after the step, [B, C, H, W], of unit variance.
    pub x: &'a Tensor,
    /// The image that was predicted in the step, [B, C, H, W].
    pub x0: &'a Tensor,
}

/// Called after every step.
pub type OnStep<'a> = dyn FnMut(&Step) + 'a;

/// Why sampling stopped.
#[derive(Debug, thiserror::Error)]
pub enum SamplerError {
    /// The network or the process failed.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// libtorch failed.
    #[error(transparent)]
    Torch(#[from] TorchError),
    /// x is no longer a number.
    #[error(
        "x became NaN or infinite at step {number} of {total}: the model's weights or its process do not fit"
    )]
    NotFinite {
        /// The step, from 1.
        number: usize,
        /// How many there were to be.
        total: usize,
    },
    /// A number in the request cannot be.
    #[error("{field} {given}: expected {expected}")]
    Request {
        /// The field.
        field: &'static str,
        /// Its value.
        given: String,
        /// What it can be.
        expected: String,
    },
}

impl SamplerError {
    /// Makes sure that a solver's order lies in 1..=most.
    pub(crate) fn order(solver: &str, given: usize, most: usize) -> Result<(), Self> {
        if (1..=most).contains(&given) {
            return Ok(());
        }
        let expected = format!("1 to {most} for {solver}");
        Err(Self::Request { field: "order", given: given.to_string(), expected })
    }
}

impl From<TchError> for SamplerError {
    fn from(error: TchError) -> Self {
        Self::Torch(error.into())
    }
}

impl From<ScheduleError> for SamplerError {
    fn from(error: ScheduleError) -> Self {
        Self::Process(error.into())
    }
}

/// Reports step `number` of a path, after a look at whether x is still made of numbers.
pub(crate) fn report(
    path: &Path,
    number: usize,
    x: &Tensor,
    x0: &Tensor,
    on_step: &mut OnStep,
) -> Result<(), SamplerError> {
    let total = path.steps();
    let kind = if x.kind() == Kind::Double { Kind::Double } else { Kind::Float };
    if !x.f_sum(kind)?.f_double_value(&[])?.is_finite() {
        return Err(SamplerError::NotFinite { number: number + 1, total });
    }
    on_step(&Step { number, total, time: path.legs()[number].from.time, x, x0 });
    Ok(())
}

/// Σ c·x over terms with c ≠ 0; at least one term is given.
pub(crate) fn combine(terms: &[(f64, &Tensor)]) -> Result<Tensor, SamplerError> {
    let mut sum: Option<Tensor> = None;
    for (c, x) in terms.iter().filter(|(c, _)| *c != 0.0) {
        sum = Some(match sum {
            Some(mut sum) if *c == 1.0 => sum.f_add_(x)?,
            Some(mut sum) => sum.f_add_(&x.f_mul_scalar(*c)?)?,
            None => x.f_mul_scalar(*c)?,
        });
    }
    Ok(match sum {
        Some(sum) => sum,
        None => terms[0].1.f_zeros_like()?,
    })
}

/// Noise for x.
pub(crate) fn draw(noise: &mut dyn NoiseSource, x: &Tensor) -> Result<Tensor, SamplerError> {
    Ok(noise.normal(&x.size(), x.device())?.f_to_kind(x.kind())?)
}

/// x at a level, from what is believed about it: √ᾱ·x0 + √(1−ᾱ)·ε.
pub(crate) fn at(level: Level, prediction: &Prediction) -> Result<Tensor, SamplerError> {
    combine(&[(level.signal(), &prediction.x0), (level.noise(), &prediction.eps)])
}
