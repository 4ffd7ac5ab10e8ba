//! Training of diffusion networks: the loop, the optimiser, the moving averages, the run folder.
//!
//! | type | answers |
//! |---|---|
//! | [`TrainConfig`] | what the recipe is, as configs spell it |
//! | [`Trainer`] | how a network learns: [`Trainer::run`] to the end, [`Trainer::restore`] to go on |
//! | [`Master`], [`Gradients`], [`Adam`] | how weights follow gradients, in f32 whatever the network computes in |
//! | [`Averages`], [`EmaRule`] | which weights are sampled from |
//! | [`TimestepSampler`] | which steps of the process a batch is trained on |
//! | [`LossScale`], [`Precision`] | how 16 bits are enough |
//! | [`LabelUse`] | what the network is told of each image |
//! | [`RunFolder`], [`LogLine`] | what a run leaves behind |
//! | [`Watcher`] | who looks on |
//!
//! ```
//! use inkdrop_data::sprites;
//! use inkdrop_process::{Process, ProcessConfig};
//! use inkdrop_torch::tch::{Device, Kind};
//! use inkdrop_train::{LabelUse, Parts, Silent, TrainConfig, Trainer};
//! use inkdrop_unet::{ContextConfig, ModelConfig};
//!
//! let model = ModelConfig::Context(ContextConfig { features: 8, ..ContextConfig::sprites() });
//! let parts = Parts {
//!     network: model.build(Kind::Float, Device::Cpu)?,
//!     average: model.build_uninitialized(Kind::Float, Device::Cpu)?,
//!     process: Process::new(&ProcessConfig::sprites(), Device::Cpu)?,
//!     image: [3, 16, 16],
//!     data: sprites::dataset(0, 16).into(),
//!     labels: LabelUse::Context,
//!     names: Vec::new(),
//!     validation: None,
//! };
//! let config = TrainConfig { steps: 2, batch: 4, ..TrainConfig::default() };
//! let mut trainer = Trainer::new(parts, config)?;
//! trainer.run(None, &mut Silent)?;
//! assert_eq!(trainer.step(), 2);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod adam;
mod batch;
mod config;
mod ema;
mod error;
mod folder;
mod labels;
mod log;
mod master;
mod run;
mod scale;
mod state;
mod step;
mod timesteps;
mod trainer;
mod validation;
mod window;

pub use adam::{Adam, AdamConfig, GroupConfig};
pub use config::{LrSchedule, TrainConfig};
pub use ema::{Averages, EmaRule};
pub use error::TrainError;
pub use folder::RunFolder;
pub use labels::LabelUse;
pub use log::LogLine;
pub use master::{Entry, Gradients, Master};
pub use run::{Outcome, Silent, StepReport, Watcher, WatcherError};
pub use scale::{LossScale, Precision};
pub use state::OtherData;
pub use timesteps::{Drawn, TimestepConfig, TimestepSampler};
pub use trainer::{Parts, Trainer};
