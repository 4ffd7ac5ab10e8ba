#![doc = include_str!("../README.md")]

mod augment;
mod batch;
mod checkpoint;
mod condition;
mod config;
mod data_parallel;
mod ema;
mod error;
mod immiscible;
mod metrics;
mod optimizer;
mod posthoc_ema;
mod precision;
mod run;
mod run_folder;
mod timestep_sampler;
mod trainer;
mod validation;

pub use augment::AugmentConfig;
pub use batch::LabelUse;
pub use checkpoint::OtherData;
pub use config::{LrSchedule, TrainConfig};
pub use data_parallel::{AllReduce, DataParallel, ProcessesError};
pub use ema::{EmaDecay, EmaPytorch, EmaSet};
pub use error::TrainError;
pub use metrics::{LogLine, LossCurve, StepMetrics};
pub use optimizer::{Adam, AdamConfig, Gradients, GroupConfig, OptimizerType};
pub use posthoc_ema::{EmaProfile, posthoc_coefficients, posthoc_ema};
pub use precision::{LossScaler, MasterWeight, MasterWeights, Precision};
pub use run::{CallbackError, NoCallback, Outcome, RunStep, TrainerCallback, TrainingRun};
pub use run_folder::RunFolder;
pub use timestep_sampler::{SampledTimesteps, TimestepConfig, TimestepSampler};
pub use trainer::{Trainer, TrainerBuilder};
