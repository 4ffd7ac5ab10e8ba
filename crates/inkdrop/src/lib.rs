#![doc = include_str!("../README.md")]

pub mod config;
mod error;
pub mod mask;
pub mod model;
mod pipeline;
pub mod samples;
pub mod scheduler;
mod training;

pub use error::{Error, Result};
pub use pipeline::{
    InpaintMethod, Pipeline, PipelineBuilder, SamplesIter, SamplingPlan, SamplingSession,
};
pub use samples::Samples;
pub use training::{
    DistillationMethod, Init, TrainedRun, Training, TrainingSession, TrainingStep, TrainingSteps,
    posthoc_ema,
};

pub use inkdrop_checkpoint as checkpoint;
pub use inkdrop_data as data;
pub use inkdrop_dist as dist;
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
