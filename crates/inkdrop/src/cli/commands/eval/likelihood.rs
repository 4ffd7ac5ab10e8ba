//! `inkdrop eval likelihood`: bits per dimension of images under the probability flow.

use anyhow::Result;
use inkdrop::sampler::Trace;
use serde_json::json;

use super::figures::{mean, standard_error};
use super::images::ImagesArgs;
use super::model_hash;
use crate::interrupt::{INTERRUPTED, Interrupt};
use crate::options::ModelArgs;
use crate::progress;
use crate::stdout::{entry, print_line};

/// Bits per dimension of images under a model: the probability flow
///
/// For any model that is not distilled, with timesteps or with continuous noise levels. `eval bpd` is the variational
/// lower bound of models with timesteps.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    images: ImagesArgs,
    /// Batch size
    #[arg(long, default_value_t = 16)]
    batch: usize,
    /// Steps, evenly spaced in ln sigma; two forward and backward passes each
    #[arg(long, value_name = "N", default_value_t = 100)]
    steps: usize,
    /// Compute the trace of the Jacobian exactly, with one backward pass per value of an image;
    /// without, estimate it with one (Hutchinson)
    #[arg(long)]
    exact: bool,
    /// Print JSON, with every image
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: &Arguments) -> Result<u8> {
    let Arguments { steps, batch, images: ImagesArgs { data, seed, .. }, .. } = arguments;
    let pipeline = arguments.model.open(*seed)?;
    let (images, conditions) = arguments.images.load(pipeline.metadata())?;
    let count = images.len();
    let weights = model_hash(&pipeline)?;
    let pipeline = pipeline.conditions(conditions.each).steps(*steps).batch(*batch).seed(*seed);
    let trace = if arguments.exact { Trace::Exact } else { Trace::Hutchinson };

    let (bar, interrupt) = (progress::bar(count, "images"), Interrupt::listen()?);
    let mut bits = Vec::new();
    for values in pipeline.bits_per_dim(&images, trace)? {
        bits.extend(values?);
        bar.set_position(bits.len() as u64);
        bar.set_message(format!("{:.4} bits/dim", mean(&bits)));
        if interrupt.raised() {
            break;
        }
    }
    bar.finish_and_clear();
    let error = standard_error(&bits);
    let spread = error.map_or(String::new(), |error| format!(" ± {error:.5}"));
    print_line(&match arguments.json {
        true => serde_json::to_string_pretty(&json!({
            "bits_per_dim": mean(&bits),
            "standard_error": error,
            "each": bits,
            "images": bits.len(),
            "data": data.to_string(),
            "condition": conditions.source,
            "steps": steps,
            "trace": if arguments.exact { "exact" } else { "hutchinson" },
            "seed": seed,
            "weights": weights,
        }))?,
        false => [
            entry("images", &format!("{} of {data}", bits.len())),
            entry("steps", &steps.to_string()),
            entry("condition", conditions.source),
            entry("NLL", &format!("{:.5}{spread} bits/dim", mean(&bits))),
        ]
        .join("\n"),
    })?;
    if bits.len() < count {
        eprintln!("stopped: these are the first {} of {count} images", bits.len());
        return Ok(INTERRUPTED);
    }
    Ok(0)
}
