//! `inkdrop plan`: layers, shapes, parameters, FLOPs and memory of a network, without building it.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use inkdrop::model::{ModelOverrides, Source, conditioned, resolve, spec};
use inkdrop::process::ImageCondition;
use inkdrop::unet::{ImageSize, ModelConfig, Plan, Preset, Stage};
use serde_json::json;

use crate::options::OverrideArgs;
use crate::stdout::print_line;

/// Show layers, parameters, FLOPs and memory of a network without building it
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// A preset, a .toml or .json config, or a checkpoint
    #[arg(required_unless_present_any = ["list", "flags"])]
    network: Option<String>,
    /// Size of the images, height x width [default: that of the network]
    #[arg(long, value_name = "HxW")]
    size: Option<ImageSize>,
    /// Batch size
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(i64).range(1..=1 << 20))]
    batch: i64,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// List the presets
    #[arg(long)]
    list: bool,
    #[command(flatten)]
    overrides: OverrideArgs,
}

pub fn run(arguments: &Arguments) -> Result<u8> {
    if arguments.list {
        let line = |preset: &Preset| format!("{:<26} {}", preset.name, preset.about);
        print_line(&Preset::ALL.iter().map(line).collect::<Vec<_>>().join("\n"))?;
        return Ok(0);
    }
    let Described { config, condition, notes } = network(arguments)?;
    let whole = conditioned(&config, condition)?;
    let plan = match arguments.size {
        None => whole.plan()?,
        Some(ImageSize { height, width }) => whole.plan_at(&[height, width])?,
    };
    print_line(&match arguments.json {
        true => {
            let mut described = describe(&config, &plan, arguments.batch);
            if let Some(condition) = condition {
                described["condition"] = serde_json::to_value(condition)?;
            }
            serde_json::to_string_pretty(&described)?
        }
        false => text(&whole, &plan, arguments, &notes),
    })?;
    Ok(0)
}

/// A network, the image that it is conditioned on, and notes about it.
struct Described {
    config: ModelConfig,
    condition: Option<ImageCondition>,
    notes: Vec<String>,
}

impl Described {
    fn new(config: ModelConfig, condition: Option<ImageCondition>, mut notes: Vec<String>) -> Self {
        if let Some(condition) = condition {
            let channels = condition.channels(config.image_shape()[0]);
            notes.push(format!("with {channels} channels of its condition ({})", condition.name()));
        }
        Self { config, condition, notes }
    }
}

fn network(arguments: &Arguments) -> Result<Described> {
    let overrides = &arguments.overrides.overrides();
    let (mut config, condition) = match (arguments.network.as_deref(), &overrides.flags) {
        (Some(name), _) if !spec::names(name) => return of_weights(name, overrides),
        _ if overrides.part.is_some() || overrides.config.is_some() => {
            bail!("--part and --config apply to checkpoints only; leave them out")
        }
        (Some(name), Some(_)) => {
            bail!("{name} and --flags both define the network: give one")
        }
        (Some(name), None) => {
            let spec = spec::parse(name)?;
            (spec.config, spec.condition)
        }
        (None, Some(flags)) => (spec::flags(flags)?, None),
        (None, None) => bail!("expected a preset, a config or a checkpoint"),
    };
    for setting in &overrides.settings {
        config = spec::set(&config, setting)?.0;
    }
    config.check().context("invalid network")?;
    Ok(Described::new(config, condition, Vec::new()))
}

/// The network of a checkpoint, and where its config comes from.
fn of_weights(file: &str, overrides: &ModelOverrides) -> Result<Described> {
    ensure!(
        Path::new(file).exists(),
        "no file and no preset {file}; `inkdrop plan --list` shows the presets"
    );
    let resolved = resolve(&Source::open(file)?, overrides)?;
    let mut notes = vec![format!("config from {}", resolved.origin)];
    notes.extend(resolved.undetermined_values().iter().map(|a| format!("assumed {a}")));
    Ok(Described::new(resolved.config, resolved.condition, notes))
}

fn text(config: &ModelConfig, plan: &Plan, arguments: &Arguments, notes: &[String]) -> String {
    let name = arguments.network.as_deref().unwrap_or("--flags");
    let mut lines = vec![format!("{name}: family {}", config.family())];
    lines.extend(notes.iter().map(|note| format!("  {note}")));
    lines.extend(table(plan));
    let (batch, memory) = (arguments.batch, plan.memory(arguments.batch));
    lines.push(format!(
        "\nin f32, in batches of {batch}: {:.1} GFLOP forward",
        batch as f64 * plan.gflop()
    ));
    lines.push(format!("  weights    {:>10}", mib(memory.weights)));
    lines.push(format!("  inference  {:>10}  with the peak of activations", mib(memory.inference)));
    lines.push(format!(
        "  training   {:>10}  with gradients, Adam state and activations",
        mib(memory.training)
    ));
    lines.push("(libtorch itself needs 150 to 300 MiB more)".to_string());
    lines.join("\n")
}

/// A table of the stages and their sum.
fn table(plan: &Plan) -> Vec<String> {
    let gflop = |number: f64| format!("{number:.2}");
    let mut rows = vec![["", "layers", "shape", "parameters", "GFLOP"].map(String::from)];
    rows.extend(plan.stages().iter().map(|stage| {
        let shape: Vec<String> = stage.output.iter().map(i64::to_string).collect();
        let (name, layers) = (stage.name.clone(), stage.layers.clone());
        let flop = gflop(stage.flop as f64 / 1e9);
        [name, layers, shape.join("x"), thousands(stage.parameters), flop]
    }));
    let sums = [&thousands(plan.parameters()), &gflop(plan.gflop())];
    rows.push(["total", "per image", "", sums[0], sums[1]].map(String::from));
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let [a, b, c, d, e] = std::array::from_fn(|column| width(column).unwrap_or(0));
    let line = |[name, layers, shape, parameters, gflop]: &[String; 5]| {
        format!("{name:<a$} {layers:<b$} {shape:>c$} {parameters:>d$} {gflop:>e$}")
    };
    rows.iter().map(line).collect()
}

fn mib(bytes: i64) -> String {
    match bytes as f64 / (1 << 20) as f64 {
        small if small < 10_000.0 => format!("{small:.0} MiB"),
        large => format!("{:.1} GiB", large / 1024.0),
    }
}

/// 1234567 as 1,234,567.
fn thousands(number: i64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn describe(config: &ModelConfig, plan: &Plan, batch: i64) -> serde_json::Value {
    let memory = plan.memory(batch);
    let stage = |stage: &Stage| {
        json!({
            "name": stage.name,
            "layers": stage.layers,
            "shape": stage.output,
            "parameters": stage.parameters,
            "gflop": stage.flop as f64 / 1e9,
        })
    };
    json!({
        "family": config.family(),
        "config": config,
        "stages": plan.stages().iter().map(stage).collect::<Vec<_>>(),
        "parameters": plan.parameters(),
        "gflop": plan.gflop(),
        "batch": batch,
        "memory": {
            "weights": memory.weights,
            "inference": memory.inference,
            "training": memory.training,
        },
    })
}
