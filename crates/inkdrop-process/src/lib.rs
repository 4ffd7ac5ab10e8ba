#![doc = include_str!("../README.md")]

mod config;
mod consistency;
mod continuous;
mod denoiser;
mod diffusion_process;
mod error;
pub mod image_condition;
mod likelihood;
mod mean_flow;
mod objective;
pub mod pixels;
mod prediction;
mod process;
mod sigma_process;
mod tables;

pub use config::{ConsistencyRange, ForwardNoise, ProcessConfig, TimeInput, Variance};
pub use consistency::{
    ConsistencyBatch, ConsistencyGrid, ConsistencyMetric, ConsistencyMidTraining,
    ConsistencyObjective, ConsistencyPhases, ConsistencyTraining, ConsistencyTuning,
    ConsistencyWeighting, Denoise, DenoiseScaled, ProgressiveDistillation, Teacher,
    TeacherGuidance, TrajectoryMetric, TrajectoryPoints,
};
pub use continuous::{ContinuousConfig, ContinuousObjective, ContinuousProcess};
pub use denoiser::{Denoiser, FnDenoiser, NetworkDenoiser};
pub use diffusion_process::{DiffusionConfig, DiffusionProcess, TrainingObjective};
pub use error::ProcessError;
pub use image_condition::ImageCondition;
pub use inkdrop_schedule::{NoiseDistribution, Preconditioning, PredictionType};
pub use likelihood::{BitsPerDim, BoundTerm, BoundTerms, bits_per_dim, prior_bits};
pub use mean_flow::{MeanFlow, MeanFlowBatch, MeanFlowObjective, MeanFlowTerms, MeanVelocity};
pub use objective::{LossTerms, LossType, Objective, ObjectiveConfig, Weighting};
pub use prediction::{NetworkOutput, Prediction};
pub use process::Process;
pub use sigma_process::SigmaProcess;
