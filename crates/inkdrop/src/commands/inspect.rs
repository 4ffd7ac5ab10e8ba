//! `inkdrop inspect`: what is in a file of weights.

use std::process::ExitCode;

use anyhow::Result;
use inkdrop_checkpoint::Weights;
use inkdrop_torch::tch::{Kind, Tensor};
use serde_json::{Map, Value, json};

use crate::card::{self, Foreign, Model};

/// Show what is in a file of weights
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Path of a .safetensors file, or the built-in model `sprites`
    model: String,
    /// As JSON
    #[arg(long)]
    json: bool,
    /// Sum, minimum and maximum of every tensor, in f64
    #[arg(long)]
    stats: bool,
}

pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let weights = card::weights(&arguments.model)?;
    let foreign = Foreign { process: Some("sprites".to_string()), draw_shortcut: false };
    let model = Model::find(&arguments.model, &foreign).ok().map(|model| model.card.model);
    let family = model.as_ref().map_or("unknown", |model| model.family());
    let parameters: usize =
        weights.iter().filter(|(key, _)| !is_buffer(key)).map(|(_, t)| t.numel()).sum();
    if arguments.json {
        let mut tensors = Map::new();
        for (key, tensor) in weights.iter() {
            tensors.insert(key.to_string(), describe(tensor, arguments.stats)?);
        }
        let report = json!({
            "family": family,
            "config": model,
            "parameters": parameters,
            "tensors": tensors,
        });
        println!("{}", serde_json::to_string_pretty(&report)?);
        return Ok(ExitCode::SUCCESS);
    }
    println!("{}: family {family}, {parameters} parameters", arguments.model);
    for key in ["model", "process", "contexts"] {
        println!("  {key:<9} {}", weights.metadata_text(key).unwrap_or("the file does not say"));
    }
    print_training(&weights)?;
    for (key, tensor) in weights.iter() {
        println!(
            "  {key:<44} {:<5} {:?}{}",
            dtype(tensor),
            tensor.size(),
            stats_text(tensor, arguments.stats)?
        );
    }
    Ok(ExitCode::SUCCESS)
}

/// Running statistics and counters, which no optimiser changes.
fn is_buffer(key: &str) -> bool {
    ["running_mean", "running_var", "num_batches_tracked"].iter().any(|end| key.ends_with(end))
}

fn print_training(weights: &Weights) -> Result<()> {
    let Some(training) = weights.metadata::<Value>("training")? else { return Ok(()) };
    for key in ["data", "train"] {
        println!("  {key:<9} {}", training[key]);
    }
    if let Some(last) = training["loss_curve"].as_array().and_then(|curve| curve.last()) {
        println!("  {:<9} {} after step {}", "loss", last[1], last[0]);
    }
    Ok(())
}

fn describe(tensor: &Tensor, stats: bool) -> Result<Value> {
    let mut value = json!({ "shape": tensor.size(), "dtype": dtype(tensor) });
    if stats {
        let (sum, min, max) = statistics(tensor)?;
        value["sum"] = json!(sum);
        value["min"] = json!(min);
        value["max"] = json!(max);
    }
    Ok(value)
}

fn stats_text(tensor: &Tensor, stats: bool) -> Result<String> {
    if !stats {
        return Ok(String::new());
    }
    let (sum, min, max) = statistics(tensor)?;
    Ok(format!(" sum {sum:.6e} min {min:.6e} max {max:.6e}"))
}

fn statistics(tensor: &Tensor) -> Result<(f64, f64, f64)> {
    let values = tensor.f_to_kind(Kind::Double)?;
    if values.numel() == 0 {
        return Ok((0.0, f64::NAN, f64::NAN));
    }
    let number = |t: Tensor| -> Result<f64> { Ok(t.f_double_value(&[])?) };
    Ok((number(values.f_sum(Kind::Double)?)?, number(values.f_min()?)?, number(values.f_max()?)?))
}

/// The type's name in safetensors.
fn dtype(tensor: &Tensor) -> &'static str {
    match tensor.kind() {
        Kind::Float => "F32",
        Kind::Double => "F64",
        Kind::Half => "F16",
        Kind::BFloat16 => "BF16",
        Kind::Int64 => "I64",
        Kind::Int => "I32",
        Kind::Int16 => "I16",
        Kind::Int8 => "I8",
        Kind::Uint8 => "U8",
        Kind::Bool => "BOOL",
        _ => "?",
    }
}
