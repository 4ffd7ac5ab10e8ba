//! `inkdrop distill`: makes a model of few steps from one of many.

use std::path::PathBuf;

use anyhow::Result;
use inkdrop::config::ConfigOverride;
use inkdrop::torch::DeviceChoice;
use inkdrop::{DistillationMethod, Training};

use super::train;
use crate::options::{ProcessesArgs, Tf32};

/// Distill a model into one that samples in few steps
///
/// Training continues from the weights and with the data of the model. For the losses of consistency
/// models (cmt-ect, ect, cmt, cd) it has EDM's preconditioning (as of `inkdrop train sprites-edm`) or timesteps (as
/// `sprites`); cmt-ect and ect also tune a consistency model. progressive takes any model of continuous noise levels, meanflow a rectified flow. The run directory is that of `inkdrop train`, and `inkdrop train --resume --out RUN` continues it.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Model file
    model: PathBuf,
    /// Run directory
    #[arg(long, value_name = "RUN")]
    out: PathBuf,
    /// Method: cmt-ect (consistency mid-training for an eighth of the steps, then consistency tuning), ect
    /// (consistency tuning alone, Geng et al. 2024), cmt (mid-training alone, Hu et al. 2025), cd (consistency distillation, Song et al. 2023), progressive
    /// (progressive distillation to eight DDIM steps, then four, two and one, Salimans & Ho 2022) or
    /// meanflow (mean velocities of a rectified flow, Geng et al. 2025)
    #[arg(long, value_name = "NAME", default_value = "cmt-ect")]
    method: DistillationMethod,
    /// Guidance scale that the student learns, for cmt-ect, cmt, cd, progressive and meanflow; needs a model with classes or
    /// contexts (short for --set train.teacher_guidance=W)
    #[arg(long, value_name = "W")]
    guidance: Option<f64>,
    /// Path of the training images, for a model file that does not name its data
    #[arg(long, value_name = "PATH")]
    data: Option<PathBuf>,
    /// Number of optimizer steps (short for --set train.steps=N) [default: 8000]
    #[arg(long)]
    steps: Option<usize>,
    /// Set a key of the config, such as train.loss.consistency-phases.share=0.5; repeatable
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<String>,
    /// Device: auto, cpu, cuda or cuda:N
    #[arg(long, default_value_t)]
    device: DeviceChoice,
    #[command(flatten)]
    tf32: Tf32,
    #[command(flatten)]
    processes: ProcessesArgs,
}

pub fn run(arguments: &Arguments) -> Result<u8> {
    arguments.tf32.apply()?;
    let mut training = Training::distill(&arguments.model, arguments.method)?;
    if let Some(path) = &arguments.data {
        training = training.data_path(path)?;
    }
    if let Some(scale) = arguments.guidance {
        training = training.set("train.teacher_guidance", scale)?;
    }
    for text in &arguments.settings {
        training = training.change(&ConfigOverride::parse(text)?)?;
    }
    if let Some(steps) = arguments.steps {
        training = training.set("train.steps", steps as i64)?;
    }
    let training = training.device(arguments.device);
    train::run_to_end(training, &arguments.out, &arguments.processes, train::Display::Bar)
}
