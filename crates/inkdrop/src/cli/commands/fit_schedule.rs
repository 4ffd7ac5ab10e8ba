//! `inkdrop fit-schedule`: the noise levels of few steps that suit a model best.

use anyhow::Result;
use inkdrop::sampler::Sampler;

use crate::options::{ConditionArgs, ModelArgs};
use crate::stdout::print_line;

/// Fit a sampling schedule of few steps to a model
///
/// Follows the probability flow of some images in 80 steps, and chooses the noise levels with which the
/// sampler strays least from it (Chen et al. 2024). Prints a spacing for `inkdrop sample --spacing`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    condition: ConditionArgs,
    /// Number of steps of the schedule
    #[arg(long, value_name = "N")]
    steps: usize,
    /// Sampler without fresh noise, such as ddim or dpm++2m
    #[arg(long, value_name = "NAME", default_value = "ddim")]
    sampler: Sampler,
    /// Number of images to follow
    #[arg(long, value_name = "N", default_value_t = 64)]
    images: usize,
    /// Batch size
    #[arg(long, value_name = "N", default_value_t = 32)]
    batch: usize,
    /// Seed of the noise
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

pub fn run(arguments: &Arguments) -> Result<u8> {
    let Arguments { steps, images, batch, seed, sampler, .. } = *arguments;
    let pipeline = arguments.condition.apply(arguments.model.open(seed)?)?;
    let spacing = pipeline.sampler(sampler).seed(seed).batch(batch).fit_schedule(steps, images)?;
    print_line(&spacing.to_string())?;
    Ok(0)
}
