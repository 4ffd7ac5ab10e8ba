//! Errors of sampling.

use inkdrop_process::ProcessError;
use inkdrop_schedule::ScheduleError;
use inkdrop_torch::TorchError;
use inkdrop_torch::tch::TchError;

/// An error of a sampling run.
#[derive(Debug, thiserror::Error)]
pub enum SamplerError {
    /// The denoiser or the diffusion process failed.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// libtorch failed.
    #[error(transparent)]
    Torch(#[from] TorchError),
    /// x contains NaN or infinite values.
    #[error(
        "x became NaN or infinite at step {number} of {total}: the model's weights or its process do not fit"
    )]
    NotFinite {
        /// The step, from 1.
        number: usize,
        /// Number of steps of the run.
        total: usize,
    },
    /// An argument outside its range.
    #[error("{field} {given}: expected {expected}")]
    Request {
        /// The argument.
        field: &'static str,
        /// Its value.
        given: String,
        /// Its valid range.
        expected: String,
    },
}

impl SamplerError {
    /// Checks that the order of a solver lies in `1..=max`.
    pub(crate) fn check_order(solver: &str, given: usize, max: usize) -> Result<(), Self> {
        if (1..=max).contains(&given) {
            return Ok(());
        }
        let expected = format!("1 to {max} for {solver}");
        Err(Self::Request { field: "order", given: given.to_string(), expected })
    }

    /// Checks that η lies between DDIM (0) and DDPM (1).
    pub(crate) fn check_eta(eta: f64) -> Result<(), Self> {
        if (0.0..=1.0).contains(&eta) {
            return Ok(());
        }
        Err(Self::Request {
            field: "eta",
            given: eta.to_string(),
            expected: "0 (deterministic) to 1 (as much noise as DDPM)".into(),
        })
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
