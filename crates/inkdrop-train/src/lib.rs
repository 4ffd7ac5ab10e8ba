//! Training of diffusion networks: trainer, optimizer, EMA, mixed precision, checkpointing.
//!
//! | type | purpose |
//! |---|---|
//! | [`TrainConfig`] | hyperparameters, as configs spell them |
//! | [`Trainer`] | takes training steps: [`Trainer::steps`], or [`Trainer::next_step`] |
//! | [`TrainingRun`], [`RunFolder`] | the training loop with log, validation and checkpointing |
//! | [`TrainerCallback`] | callbacks for [`Trainer::run`] |
//! | [`Adam`], [`Gradients`] | the optimizer, parameter groups, gradient clipping, weight decay |
//! | [`EmaSet`], [`EmaDecay`] | exponential moving averages of the weights |
//! | [`MasterWeights`], [`Precision`], [`LossScaler`] | mixed precision and loss scaling |
//! | [`TimestepSampler`] | importance sampling of timesteps |
//! | [`LabelUse`] | conditioning on labels, with label dropout |
//! | [`StepMetrics`], [`LogLine`], [`LossCurve`] | metrics of steps, log lines and runs |
//!
//! ```
//! use inkdrop_data::sprites;
//! use inkdrop_process::{Process, ProcessConfig};
//! use inkdrop_torch::tch::{Device, Kind};
//! use inkdrop_train::{LabelUse, TrainConfig, Trainer};
//! use inkdrop_unet::{ContextConfig, ModelConfig};
//!
//! let model = ModelConfig::Context(ContextConfig { features: 8, ..ContextConfig::sprites() });
//! let network = model.build(Kind::Float, Device::Cpu)?;
//! let ema_network = model.build_uninitialized(Kind::Float, Device::Cpu)?;
//! let process = Process::new(&ProcessConfig::sprites(), Device::Cpu)?;
//! let config = TrainConfig { steps: 2, batch: 4, ..TrainConfig::default() };
//!
//! let mut trainer = Trainer::builder(network, ema_network, process, sprites::dataset(0, 16))
//!     .labels(LabelUse::Context)
//!     .build(config)?;
//! while let Some(metrics) = trainer.next_step()? {
//!     println!("step {}: loss {:.4}", metrics.step, metrics.loss);
//! }
//! assert_eq!(trainer.step(), 2);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod batch;
mod checkpoint;
mod config;
mod ema;
mod error;
mod metrics;
mod optimizer;
mod precision;
mod run;
mod run_folder;
mod timestep_sampler;
mod trainer;
mod validation;

pub use batch::LabelUse;
pub use checkpoint::OtherData;
pub use config::{LrSchedule, TrainConfig};
pub use ema::{EmaDecay, EmaSet};
pub use error::TrainError;
pub use metrics::{LogLine, LossCurve, StepMetrics};
pub use optimizer::{Adam, AdamConfig, Gradients, GroupConfig};
pub use precision::{LossScaler, MasterWeight, MasterWeights, Precision};
pub use run::{CallbackError, NoCallback, Outcome, RunStep, TrainerCallback, TrainingRun};
pub use run_folder::RunFolder;
pub use timestep_sampler::{SampledTimesteps, TimestepConfig, TimestepSampler};
pub use trainer::{Trainer, TrainerBuilder};
