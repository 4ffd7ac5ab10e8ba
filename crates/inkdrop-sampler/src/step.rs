//! What a sampler shows of each step, and how it can fail.

use inkdrop_process::ProcessError;
use inkdrop_schedule::ScheduleError;
use inkdrop_torch::TorchError;
use inkdrop_torch::tch::{TchError, Tensor};

/// One step that was taken.
#[derive(Debug)]
pub struct Step<'a> {
    /// How many steps were taken before this one.
    pub number: usize,
    /// How many there will be.
    pub total: usize,
    /// The step's index in the process, falling to 0.
    pub index: usize,
    /// x after the step, [B, C, H, W].
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

/// Reports a step, after a look at whether x is still made of numbers.
pub(crate) fn report(
    index: usize,
    total: usize,
    x: &Tensor,
    x0: &Tensor,
    on_step: &mut OnStep,
) -> Result<(), SamplerError> {
    let number = total - 1 - index;
    if !x.f_sum(x.kind())?.f_double_value(&[])?.is_finite() {
        return Err(SamplerError::NotFinite { number: number + 1, total });
    }
    on_step(&Step { number, total, index, x, x0 });
    Ok(())
}
