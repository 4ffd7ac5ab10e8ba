//! Errors of the diffusion process.

use inkdrop_nn::NetworkError;
use inkdrop_schedule::ScheduleError;
use inkdrop_torch::TorchError;
use inkdrop_torch::tch::TchError;

use crate::Variance;

/// An error of the diffusion process.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// Invalid noise schedule or timestep spacing.
    #[error(transparent)]
    Schedule(#[from] ScheduleError),
    /// The forward pass of the network failed.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// The output channels do not match the type of variance.
    #[error(
        "the network outputs {given} channels for images with {channels} channels: a {variance:?} variance expects {}",
        if variance.is_learned() { 2 * channels } else { *channels }
    )]
    Outputs {
        /// Output channels.
        given: i64,
        /// Image channels.
        channels: i64,
        /// The type of variance.
        variance: Variance,
    },
    /// A config field outside its range.
    #[error("{field} {given}: expected {expected}")]
    Field {
        /// The field.
        field: &'static str,
        /// Its value.
        given: f64,
        /// Its valid range.
        expected: &'static str,
    },
    /// A loss weighting with a variational lower bound.
    #[error(
        "weighting with the loss kl or rescaled-kl: the terms of the variational bound have fixed weights; use the loss mse, or no weighting"
    )]
    WeightedBound,
    /// A tensor with the wrong shape.
    #[error("{what} has shape {given:?}, expected {expected}")]
    Shape {
        /// Which tensor.
        what: &'static str,
        /// Its shape.
        given: Vec<i64>,
        /// The expected shape.
        expected: String,
    },
    /// The loss `uncertainty` for a network that learns none.
    #[error(
        "the loss uncertainty needs a network that learns its log-variance: expected family edm2 with `logvar`, or the loss mse"
    )]
    NoUncertainty,
    /// At zero terminal SNR, predicted noise does not determine the image.
    #[error(
        "x is pure noise at the first step (zero terminal SNR), and predicted noise does not determine the image: use a network that predicts v or x0, or start at a later step"
    )]
    NoSignal,
    /// A process with continuous noise levels has no timesteps.
    #[error("{0} needs a process with timesteps; this one has continuous noise levels")]
    NeedsTimesteps(&'static str),
    /// A setting for continuous noise levels, in a process with timesteps.
    #[error("{0} is a setting of processes with continuous noise levels; this one has timesteps")]
    Timesteps(&'static str),
    /// A loss of diffusion models for a consistency model.
    #[error(
        "process.consistency makes a consistency model: expected a consistency loss, such as consistency-tuning"
    )]
    NotForConsistency,
    /// A posterior mean where a denoiser is needed.
    #[error(
        "a network that predicts the posterior mean knows its own timesteps alone: consistency models need one that predicts noise, x0 or v"
    )]
    NoDenoiser,
    /// A setting that consistency losses, distillation and MeanFlow do not have.
    #[error("{0} does not go with this loss: leave it out")]
    NotWithThisLoss(&'static str),
    /// Self-conditioning with a loss that has none.
    #[error(
        "this loss knows no self-conditioning: expected a network without it (model.self_condition=false)"
    )]
    SelfCondition,
    /// A distillation without a teacher.
    #[error("this loss needs a teacher: name its file with train.teacher")]
    NeedsTeacher,
    /// A teacher of a loss that has none.
    #[error(
        "train.teacher is for the losses consistency-phases, consistency-mid-training, consistency-distillation, progressive-distillation and mean-flow: leave it out"
    )]
    UnusedTeacher,
    /// A guided teacher with classes, none of which stands for no class.
    #[error(
        "train.teacher_guidance: the teacher has no null class, expected one that was trained with label dropout"
    )]
    NoNullClass,
    /// MeanFlow with another preconditioning than its own.
    #[error(
        "the loss mean-flow needs a network of mean velocities: expected the preconditioning mean-flow, and interval = true in [model]"
    )]
    NeedsMeanFlow,
    /// MeanFlow's preconditioning with another loss than its own.
    #[error(
        "the preconditioning mean-flow is trained by the loss mean-flow alone: set train.loss={{mean-flow={{}}}}, or take the preconditioning flow"
    )]
    MeanFlowNeedsItsLoss,
    /// libtorch failed.
    #[error(transparent)]
    Torch(#[from] TorchError),
}

impl From<TchError> for ProcessError {
    fn from(error: TchError) -> Self {
        Self::Torch(error.into())
    }
}
