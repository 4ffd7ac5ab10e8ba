//! `inkdrop plan`: what a network would be, without making it.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
use inkdrop_unet::{ImageSize, ModelConfig, Plan, Preset, Stage};
use serde_json::json;

use crate::foreign::Foreign;
use crate::say::say;
use crate::source::Source;
use crate::spec;

/// Check a network and count its layers, work and memory, without making it
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// A preset, a .toml or .json config, or a file of weights
    #[arg(required_unless_present_any = ["list", "flags"])]
    network: Option<String>,
    /// Size of the images, height x width [default: that of the network]
    #[arg(long, value_name = "HxW")]
    size: Option<ImageSize>,
    /// Images at a time
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(i64).range(1..=1 << 20))]
    batch: i64,
    /// As JSON
    #[arg(long)]
    json: bool,
    /// List the presets
    #[arg(long)]
    list: bool,
    #[command(flatten)]
    foreign: Foreign,
}

pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    if arguments.list {
        let line = |preset: &Preset| format!("{:<26} {}", preset.name, preset.about);
        say(&Preset::ALL.iter().map(line).collect::<Vec<_>>().join("\n"))?;
        return Ok(ExitCode::SUCCESS);
    }
    let (config, notes) = network(arguments)?;
    let plan = match arguments.size {
        None => config.plan()?,
        Some(ImageSize { height, width }) => config.plan_at(&[height, width])?,
    };
    say(&match arguments.json {
        true => serde_json::to_string_pretty(&describe(&config, &plan, arguments.batch))?,
        false => text(&config, &plan, arguments, &notes),
    })?;
    Ok(ExitCode::SUCCESS)
}

/// The network that was asked for, and what is to be said about it.
fn network(arguments: &Arguments) -> Result<(ModelConfig, Vec<String>)> {
    let foreign = &arguments.foreign;
    let name = arguments.network.as_deref();
    let weights = name.filter(|name| {
        let config = Path::new(name).extension().is_some_and(|e| e == "toml" || e == "json");
        ModelConfig::preset(name).is_none() && !config && Path::new(name).exists()
    });
    if let Some(file) = weights {
        let described = foreign.describe(&Source::open(file)?)?;
        let mut notes = vec![format!("from {}", described.origin)];
        notes.extend(described.assumptions().iter().map(|a| format!("assumed {a}")));
        return Ok((described.config, notes));
    }
    let mut config = match (name, &foreign.flags) {
        (Some(name), _) => spec::parse(name)?.0,
        (None, Some(flags)) => spec::flags(flags)?,
        (None, None) => anyhow::bail!("expected a preset, a config or a file of weights"),
    };
    for setting in &foreign.settings {
        config = spec::set(&config, setting)?.0;
    }
    config.check().context("the network cannot be")?;
    Ok((config, Vec::new()))
}

fn text(config: &ModelConfig, plan: &Plan, arguments: &Arguments, notes: &[String]) -> String {
    let name = arguments.network.as_deref().unwrap_or("--flags");
    let mut lines = vec![format!("{name}: family {}", config.family())];
    lines.extend(notes.iter().map(|note| format!("  {note}")));
    lines.push(format!(
        "{:<25} {:<24} {:>12} {:>10} {:>6}",
        "", "layers", "shape", "parameters", "GFLOP"
    ));
    lines.extend(plan.stages().iter().map(line));
    lines.push(format!(
        "{:<63} {:>9} {:>6.2}",
        "in all, for one image",
        thousands(plan.parameters()),
        plan.gflop()
    ));
    let memory = plan.memory(arguments.batch);
    let batch = arguments.batch;
    lines.push(format!(
        "\nin f32, batches of {batch}: {:.1} GFLOP forward",
        batch as f64 * plan.gflop()
    ));
    lines.push(format!("  weights    {:>10}", mib(memory.weights)));
    lines.push(format!(
        "  inference  {:>10}  with the activations that are alive at once",
        mib(memory.inference)
    ));
    lines.push(format!(
        "  training   {:>10}  with gradients, Adam and kept activations",
        mib(memory.training)
    ));
    lines.push("(libtorch itself takes 150 to 300 MiB more)".to_string());
    lines.join("\n")
}

fn line(stage: &Stage) -> String {
    let shape: Vec<String> = stage.output.iter().map(i64::to_string).collect();
    format!(
        "{:<25} {:<24} {:>12} {:>10} {:>6.2}",
        stage.name,
        stage.layers,
        shape.join("x"),
        thousands(stage.parameters),
        stage.flop as f64 / 1e9
    )
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
