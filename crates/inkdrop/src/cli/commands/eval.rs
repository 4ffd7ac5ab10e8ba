//! `inkdrop eval`: likelihood of a model, and distances of its samples.

mod bpd;
mod conditions;
mod distance;
mod features;
mod figures;

use anyhow::Result;

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
    Distance(distance::Arguments),
}

pub fn run(arguments: &Arguments) -> Result<u8> {
    match &arguments.task {
        Task::Bpd(arguments) => bpd::run(arguments),
        Task::Distance(arguments) => distance::run(arguments),
    }
}
