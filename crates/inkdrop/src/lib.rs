//! Diffusion models in Rust on libtorch: sampling, editing and training.
//!
//! ```
//! // A model by name: built in, a file of inkdrop or of PyTorch, or a diffusers directory.
//! let pipeline = inkdrop::Pipeline::open("sprites")?.class("hero").steps(5);
//! let heroes = pipeline.sample(4)?;
//! assert_eq!(heroes.images().shape(), [4, 16, 16, 3]);
//! heroes.save(std::env::temp_dir().join("heroes.png"))?;
//! # Ok::<(), inkdrop::Error>(())
//! ```
//!
//! | item | what it does |
//! |---|---|
//! | [`Pipeline`] | opens a model; samples and edits images |
//! | [`Samples`] | sampled images: bytes, tensor, files |
//! | [`Training`] | trains a model: presets, configs, data of one's own |
//! | [`model`] | model files: what a file contains, and what it lacks |
//! | [`mask`] | masks for inpainting |
//! | [`scheduler`] | schedulers of diffusers, as directories name them |
//! | [`config`] | configs of training runs |
//!
//! The crates below are here, too, for a sampler, a network or a loop of one's own.
//!
//! This crate is a program as well: the feature `cli` (default) adds `inkdrop`; a library needs
//! `default-features = false` only.

pub mod config;
mod error;
pub mod mask;
pub mod model;
mod pipeline;
pub mod samples;
pub mod scheduler;
mod training;

pub use error::{Error, Result};
pub use pipeline::{Batches, Pipeline, PipelineBuilder, SamplingPlan, SamplingSession};
pub use samples::Samples;
pub use training::{Init, TrainedRun, Training, TrainingSession, TrainingStep, TrainingSteps};

pub use inkdrop_checkpoint as checkpoint;
pub use inkdrop_data as data;
pub use inkdrop_eval as eval;
pub use inkdrop_nn as nn;
pub use inkdrop_process as process;
pub use inkdrop_report as report;
pub use inkdrop_sampler as sampler;
pub use inkdrop_schedule as schedule;
pub use inkdrop_torch as torch;
pub use inkdrop_train as train;
pub use inkdrop_unet as unet;

#[doc(no_inline)]
pub use inkdrop_data::Images;
#[doc(no_inline)]
pub use inkdrop_sampler::{Rng, Sampler};
