//! Training of diffusion networks: the loop, the optimiser, the moving average, the run folder.
//!
//! ```
//! use inkdrop_data::sprites;
//! use inkdrop_process::{Process, ProcessConfig};
//! use inkdrop_torch::tch::{Device, Kind};
//! use inkdrop_train::{Silent, TrainConfig, Trainer};
//! use inkdrop_unet::{ContextConfig, ModelConfig};
//!
//! let model = ModelConfig::Context(ContextConfig { features: 8, ..ContextConfig::sprites() });
//! let build = || model.build(Kind::Float, Device::Cpu);
//! let config = TrainConfig { steps: 2, batch: 4, ..TrainConfig::default() };
//! let process = Process::new(&ProcessConfig::sprites(), Device::Cpu)?;
//! let mut trainer = Trainer::new(build()?, build()?, process, sprites::dataset(0, 16), config)?;
//! trainer.run(None, &mut Silent)?;
//! assert_eq!(trainer.step(), 2);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod adam;
mod config;
mod ema;
mod error;
mod folder;
mod log;
mod run;
mod state;
mod trainer;

pub use adam::Adam;
pub use config::{LrSchedule, TrainConfig};
pub use ema::Ema;
pub use error::TrainError;
pub use folder::RunFolder;
pub use run::{Outcome, Silent, StepReport, Watcher};
pub use trainer::Trainer;
