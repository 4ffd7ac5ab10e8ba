//! What can go wrong between a schedule and a network.

use inkdrop_nn::NetworkError;
use inkdrop_schedule::ScheduleError;
use inkdrop_torch::TorchError;
use inkdrop_torch::tch::TchError;

/// An error of the diffusion process.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// The schedule or the choice of steps cannot be.
    #[error(transparent)]
    Schedule(#[from] ScheduleError),
    /// The network could not do its pass.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// libtorch failed.
    #[error(transparent)]
    Torch(#[from] TorchError),
}

impl From<TchError> for ProcessError {
    fn from(error: TchError) -> Self {
        Self::Torch(error.into())
    }
}
