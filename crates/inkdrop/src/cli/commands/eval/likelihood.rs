//! `inkdrop eval likelihood`: bits per dimension of images under the probability flow.

use anyhow::{Result, ensure};
use inkdrop::model::Condition;
use inkdrop::sampler::Trace;
use serde_json::json;

use super::conditions::DataConditions;
use super::figures::mean;
use super::model_hash;
use crate::interrupt::{INTERRUPTED, Interrupt};
use crate::options::{Found, ImageSet, ModelArgs};
use crate::progress;
use crate::stdout::{entry, print_line};

/// Bits per dimension of images under a model: the probability flow
///
/// For any model, with timesteps or with continuous noise levels. `eval bpd` is the variational
/// lower bound of models with timesteps.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    model: ModelArgs,
    /// Data set: sprites or sprites:SEED:COUNT, an .npz or .npy file, a directory of pictures,
    /// CIFAR-10's .bin file or directory, or an IDX file; with its labels
    data: ImageSet,
    /// Resize the pictures of a directory to the size of the model, as data.size does in training
    #[arg(long)]
    fit: bool,
    /// Number of images, evenly spaced over the data set [default: all]
    #[arg(long, value_name = "N")]
    images: Option<usize>,
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
    /// Random seed; image i has the same noise in any batch
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Class of all images instead of the labels: a number, or the name of a context
    #[arg(long, value_name = "N|NAME")]
    class: Option<String>,
    /// Print JSON, with every image
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: &Arguments) -> Result<u8> {
    let Arguments { data, steps, batch, seed, .. } = arguments;
    let pipeline = arguments.model.open(*seed)?;
    let metadata = pipeline.metadata();
    let shape = metadata.model.image_shape().map(|side| side as usize);
    let size = arguments.fit.then_some(shape[1]);
    let Found { data: found, classes } = data.load(shape[0], size)?;
    let all = found.len();
    let count = arguments.images.unwrap_or(all);
    ensure!((1..=all).contains(&count), "--images {count}: expected 1 to {all}, which {data} has");
    let indices: Vec<usize> = (0..count).map(|i| i * all / count).collect();
    let fixed =
        arguments.class.as_ref().map(|name| Condition::class(metadata, name)).transpose()?;
    let conditions = DataConditions::of(metadata, (&found.labels, &classes), &indices, fixed)?;
    let images = found.images.select(&indices)?;
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
            entry("NLL", &format!("{:.5} ± {error:.5} bits/dim", mean(&bits))),
        ]
        .join("\n"),
    })?;
    if bits.len() < count {
        eprintln!("stopped: these are the first {} of {count} images", bits.len());
        return Ok(INTERRUPTED);
    }
    Ok(0)
}

/// Standard error of the mean; 0 for a single value.
fn standard_error(values: &[f64]) -> f64 {
    let (mean, count) = (mean(values), values.len() as f64);
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    if values.len() > 1 { (squares / (count - 1.0) / count).sqrt() } else { 0.0 }
}
