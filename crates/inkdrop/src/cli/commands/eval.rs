//! `inkdrop eval`: likelihood of a model, and distances of its samples.

mod bpd;
mod conditions;
mod distance;
mod features;
mod figures;
mod images;
mod likelihood;

use anyhow::{Context, Result};
use inkdrop::Pipeline;
use inkdrop::data::Images;
use sha2::{Digest, Sha256};

/// Evaluate a model: bits per dimension, or distances between samples and data
#[derive(Debug, clap::Args)]
#[command(arg_required_else_help = true)]
pub struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, clap::Subcommand)]
enum Task {
    Bpd(Box<bpd::Arguments>),
    Likelihood(Box<likelihood::Arguments>),
    Distance(Box<distance::Arguments>),
}

pub fn run(arguments: &Arguments) -> Result<u8> {
    match &arguments.task {
        Task::Bpd(arguments) => bpd::run(arguments),
        Task::Likelihood(arguments) => likelihood::run(arguments),
        Task::Distance(arguments) => distance::run(arguments),
    }
}

/// Hash of the weights of a model.
fn model_hash(pipeline: &Pipeline) -> Result<String> {
    let model = pipeline.model().context("the pipeline has no file")?;
    let identity = model.identity()?;
    Ok(identity["weights"].as_str().context("the weights have no hash")?.to_string())
}

/// Number of images and hash of their pixels.
fn hash_of(images: &Images) -> String {
    let digest = Sha256::digest(images.bytes());
    let digits: String = digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    format!("{} images (SHA-256 {digits}…)", images.len())
}
