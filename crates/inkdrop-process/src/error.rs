//! What can go wrong between a schedule and a network.

use inkdrop_nn::NetworkError;
use inkdrop_schedule::ScheduleError;
use inkdrop_torch::TorchError;
use inkdrop_torch::tch::TchError;

use crate::Variance;

/// An error of the diffusion process.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// The schedule or the choice of steps cannot be.
    #[error(transparent)]
    Schedule(#[from] ScheduleError),
    /// The network could not do its pass.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// The network's channels do not fit what the process takes them for.
    #[error(
        "the network gives {given} channels for images of {channels}: a variance of type {variance:?} expects {}",
        if variance.is_learned() { 2 * channels } else { *channels }
    )]
    Outputs {
        /// Channels of the output.
        given: i64,
        /// Channels of the images.
        channels: i64,
        /// The type of variance.
        variance: Variance,
    },
    /// A number in a config cannot be.
    #[error("{field} {given}: expected {expected}")]
    Field {
        /// The field.
        field: &'static str,
        /// Its value.
        given: f64,
        /// What it can be.
        expected: &'static str,
    },
    /// The variational bound has weights of its own.
    #[error(
        "a weighting with the loss kl or rescaled-kl: the bound's terms have weights of their own; use the loss mse, or no weighting"
    )]
    WeightedBound,
    /// A tensor has another shape than it must.
    #[error("{what} has shape {given:?}, expected {expected}")]
    Shape {
        /// Which tensor.
        what: &'static str,
        /// Its shape.
        given: Vec<i64>,
        /// What it must be.
        expected: String,
    },
    /// Noise says nothing about the image where there is nothing of it in x.
    #[error(
        "x is pure noise at the first step (zero terminal SNR), where a network that predicts noise says nothing about the image: use a network that predicts v or x0, or start at a later step"
    )]
    NoSignal,
    /// libtorch failed.
    #[error(transparent)]
    Torch(#[from] TorchError),
}

impl From<TchError> for ProcessError {
    fn from(error: TchError) -> Self {
        Self::Torch(error.into())
    }
}
