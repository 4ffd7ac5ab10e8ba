//! `inkdrop inspect`: the contents of a checkpoint.

use anyhow::Result;
use inkdrop::checkpoint::StateDict;
use inkdrop::model::{
    ModelOverrides, ResolvedModel, Source, ignored_metadata, resolve, resolve_process,
    stored_metadata,
};
use inkdrop::process::DiffusionConfig;
use inkdrop::torch::tch::{Kind, Tensor};
use inkdrop::unet::ModelConfig;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::options::OverrideArgs;
use crate::stdout::{entry, print_line};

/// Show the contents of a checkpoint: network, process, tensors
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// A .safetensors, .pt, .pth, .bin, .pkl or .npz file, a diffusers directory, or a built-in model
    /// (`inkdrop models`)
    model: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Print sum, minimum and maximum of every tensor, in f64
    #[arg(long)]
    stats: bool,
    #[command(flatten)]
    overrides: OverrideArgs,
}

/// The contents of a checkpoint.
struct Report {
    source: Source,
    /// The tensors of one network, or all tensors of a file with several.
    weights: StateDict,
    /// Names of the networks in the file, if they have names and none was chosen.
    parts: Vec<String>,
    network: Option<ResolvedModel>,
    /// The reason why the network is unknown.
    problem: Option<String>,
    /// The process, or the reason why it is unknown.
    process: Result<DiffusionConfig, String>,
}

pub fn run(arguments: &Arguments) -> Result<u8> {
    let report = Report::of(arguments)?;
    print_line(&if arguments.json {
        report.json(arguments.stats)?
    } else {
        report.text(arguments.stats)?
    })?;
    Ok(0)
}

impl Report {
    fn of(arguments: &Arguments) -> Result<Self> {
        let (source, overrides) =
            (Source::open(&arguments.model)?, arguments.overrides.overrides());
        let parts = source.parts();
        let several = parts.len() > 1 && overrides.part.is_none();
        let weights = match several {
            true => StateDict::below(&source.whole, ""),
            false => source.part(overrides.part.as_deref())?,
        };
        // Several networks in a file come from one training run and share a config.
        let first = if several { parts.first().cloned() } else { overrides.part.clone() };
        let resolved = resolve(&source, &ModelOverrides { part: first, ..overrides.clone() });
        let (network, problem) = match resolved {
            Ok(network) => (Some(network), None),
            Err(error) if overrides.set_network() => return Err(error.into()),
            Err(error) => (None, Some(error.report())),
        };
        let process = match resolve_process(&source, &overrides, network.as_ref()) {
            Err(error) if overrides.process.is_some() => return Err(error.into()),
            Err(error) => Err(error.report()),
            Ok(process) => process.ok_or_else(|| "unknown (not in the file)".to_string()),
        };
        let parts = if overrides.part.is_none() { parts } else { Vec::new() };
        Ok(Self { source, weights, parts, network, problem, process })
    }

    fn config(&self) -> Option<&ModelConfig> {
        self.network.as_ref().map(|network| &network.config)
    }

    fn family(&self) -> &'static str {
        self.config().map_or("unknown", ModelConfig::family)
    }

    /// Number of trainable parameters of one network.
    fn parameters(&self) -> i64 {
        let buffer = |key: &str| {
            ["running_mean", "running_var", "num_batches_tracked"]
                .iter()
                .any(|end| key.ends_with(end))
        };
        let weights = self.network.as_ref().map_or(&self.weights, |network| &network.weights);
        let trained = weights.iter().filter(|(key, _)| !buffer(key));
        trained.map(|(_, tensor)| tensor.numel() as i64).sum()
    }

    fn json(&self, stats: bool) -> Result<String> {
        let mut tensors = Map::new();
        for (key, tensor) in self.weights.iter() {
            tensors.insert(key.to_string(), describe(tensor, stats)?);
        }
        let mut metadata = Map::new();
        for key in ["contexts", "classes", "depth", "condition", "sampling", "card", "training"] {
            if let Some(value) = stored_metadata(&self.source.whole, key)? {
                metadata.insert(key.to_string(), value);
            }
        }
        let network = self.network.as_ref();
        let report = json!({
            "family": self.family(),
            "config": self.config(),
            "parameters": self.parameters(),
            "format": self.source.whole.format().to_string(),
            "known_from": network.map(|network| network.origin.to_string()),
            "assumed": network.map(ResolvedModel::undetermined_json),
            "process": self.process.as_ref().ok(),
            "metadata": metadata,
            "parts": self.parts,
            "skipped": self.source.whole.skipped(),
            "unsupported": unsupported(&self.source.whole).collect::<Vec<_>>(),
            "tensors": tensors,
        });
        Ok(serde_json::to_string_pretty(&report)?)
    }

    fn text(&self, stats: bool) -> Result<String> {
        let (name, family) = (&self.source.name, self.family());
        let mut lines = vec![format!("{name}: family {family}, {} parameters", self.parameters())];
        let mut add = |key: &str, text: &str| lines.push(entry(key, text));
        add("format", &self.source.whole.format().to_string());
        match &self.network {
            Some(network) => {
                add("model", &fields(&network.config)?);
                add("config from", &network.origin.to_string());
                if !network.undetermined.is_empty() {
                    let assumed = network.undetermined_values().join(", ");
                    add("assumed", &format!("{assumed} (not determined by shapes; use --set)"));
                }
            }
            None => add("model", self.problem.as_deref().unwrap_or("unknown")),
        }
        add("process", &self.process.as_ref().map_or_else(|why| Ok(why.clone()), fields)?);
        if let Some(contexts) = stored_metadata::<Value>(&self.source.whole, "contexts")? {
            add("contexts", &contexts.to_string());
        }
        if let Some(bits) = stored_metadata::<u8>(&self.source.whole, "depth")? {
            add("depth", &format!("{bits} bits per value"));
        }
        for key in ["classes", "condition", "sampling", "card"] {
            if let Some(value) = stored_metadata::<Value>(&self.source.whole, key)? {
                add(key, &fields(&value)?);
            }
        }
        if !self.parts.is_empty() {
            let hint = if self.parts.len() > 1 { " (--part NAME shows one)" } else { "" };
            add("networks", &format!("{}{hint}", self.parts.join(", ")));
        }
        if !self.source.whole.skipped().is_empty() {
            add("skipped", &list(self.source.whole.skipped()));
        }
        let ignored = ignored_metadata(&self.source.whole);
        if !ignored.is_empty() {
            add("ignored", &format!("metadata {} of another program", ignored.join(", ")));
        }
        let unsupported: Vec<String> = unsupported(&self.source.whole).collect();
        if !unsupported.is_empty() {
            add("unsupported", &list(&unsupported));
        }
        lines.extend(training(&self.source.whole)?);
        for (key, tensor) in self.weights.iter() {
            let mut line = format!("  {key:<44} {:<5} {:?}", dtype(tensor), tensor.size());
            if stats {
                let (sum, min, max) = statistics(tensor)?;
                line += &format!(" sum {sum:.6e} min {min:.6e} max {max:.6e}");
            }
            lines.push(line);
        }
        Ok(lines.join("\n"))
    }
}

/// The fields of an object, as `field=value, inner.field=value`.
fn fields(object: &impl Serialize) -> Result<String> {
    fn list(prefix: &str, fields: &Map<String, Value>) -> Vec<String> {
        let field = |(name, value): (&String, &Value)| match value {
            Value::Object(inner) => list(&format!("{prefix}{name}."), inner),
            Value::String(text) => vec![format!("{prefix}{name}={text}")],
            other => vec![format!("{prefix}{name}={other}")],
        };
        fields.iter().flat_map(field).collect()
    }
    let Value::Object(mut fields) = serde_json::to_value(object)? else {
        return Ok(String::new());
    };
    fields.remove("family"); // is in the first line
    Ok(list("", &fields).join(", "))
}

/// Tensors of dtypes and layouts that are not read, each with its kind.
pub(super) fn unsupported(weights: &StateDict) -> impl Iterator<Item = String> {
    weights.unsupported().map(|(key, tensor)| format!("{key} ({})", tensor.kind))
}

/// A list of names, abbreviated.
pub(super) fn list(names: &[String]) -> String {
    let shown = names.iter().take(8).cloned().collect::<Vec<_>>().join(", ");
    if names.len() > 8 { format!("{shown} and {} more", names.len() - 8) } else { shown }
}

/// The training record of the file.
fn training(weights: &StateDict) -> Result<Vec<String>> {
    let Some(training) = stored_metadata::<Value>(weights, "training")? else {
        return Ok(Vec::new());
    };
    let mut lines: Vec<String> = ["data", "train"]
        .iter()
        .map(|key| Ok(entry(key, &fields(&training[key])?)))
        .collect::<Result<_>>()?;
    if let Some(phases) = training["phases"].as_array() {
        let phase = |phase: &Value| {
            Some(format!("{} for {} steps", phase["loss"].as_str()?, phase["steps"]))
        };
        let phases: Vec<String> = phases.iter().filter_map(phase).collect();
        lines.push(format!("  {:<10} {}", "phases", phases.join(", then ")));
    }
    if let Some(last) = training["loss_curve"].as_array().and_then(|curve| curve.last()) {
        lines.push(format!("  {:<10} {} after step {}", "loss", last[1], last[0]));
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

/// Name of a dtype in safetensors.
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
