//! `inkdrop inspect`: what is in a file of weights.

use std::process::ExitCode;

use anyhow::Result;
use inkdrop_checkpoint::Weights;
use inkdrop_torch::tch::{Kind, Tensor};
use inkdrop_unet::ModelConfig;
use serde_json::{Map, Value, json};

use crate::card;
use crate::say::say;

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
    let model = card::network(&weights)?;
    let report = if arguments.json {
        json(&weights, model.as_ref(), arguments.stats)?
    } else {
        text(&arguments.model, &weights, model.as_ref(), arguments.stats)?
    };
    say(&report)?;
    Ok(ExitCode::SUCCESS)
}

fn family(model: Option<&ModelConfig>) -> &'static str {
    model.map_or("unknown", ModelConfig::family)
}

/// How many numbers an optimiser would change.
fn parameters(weights: &Weights) -> usize {
    let buffer = |key: &str| {
        ["running_mean", "running_var", "num_batches_tracked"].iter().any(|end| key.ends_with(end))
    };
    weights.iter().filter(|(key, _)| !buffer(key)).map(|(_, tensor)| tensor.numel()).sum()
}

fn json(weights: &Weights, model: Option<&ModelConfig>, stats: bool) -> Result<String> {
    let mut tensors = Map::new();
    for (key, tensor) in weights.iter() {
        tensors.insert(key.to_string(), describe(tensor, stats)?);
    }
    let report = json!({
        "family": family(model),
        "config": model,
        "parameters": parameters(weights),
        "tensors": tensors,
    });
    Ok(serde_json::to_string_pretty(&report)?)
}

fn text(name: &str, weights: &Weights, model: Option<&ModelConfig>, stats: bool) -> Result<String> {
    let (family, parameters) = (family(model), parameters(weights));
    let mut lines = vec![format!("{name}: family {family}, {parameters} parameters")];
    for key in ["model", "process", "contexts"] {
        let said = weights.metadata_text(key).unwrap_or("the file does not say");
        lines.push(format!("  {key:<9} {said}"));
    }
    lines.extend(training(weights)?);
    for (key, tensor) in weights.iter() {
        let mut line = format!("  {key:<44} {:<5} {:?}", dtype(tensor), tensor.size());
        if stats {
            let (sum, min, max) = statistics(tensor)?;
            line += &format!(" sum {sum:.6e} min {min:.6e} max {max:.6e}");
        }
        lines.push(line);
    }
    Ok(lines.join("\n"))
}

/// What the file says of its training.
fn training(weights: &Weights) -> Result<Vec<String>> {
    let Some(training) = weights.metadata::<Value>("training")? else { return Ok(Vec::new()) };
    let mut lines: Vec<String> =
        ["data", "train"].iter().map(|key| format!("  {key:<9} {}", training[key])).collect();
    if let Some(last) = training["loss_curve"].as_array().and_then(|curve| curve.last()) {
        lines.push(format!("  {:<9} {} after step {}", "loss", last[1], last[0]));
    }
    Ok(lines)
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
