//! `inkdrop train`: trains a model from a config, in a run directory.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use inkdrop_data::output::write_atomic;
use inkdrop_torch::DeviceChoice;
use inkdrop_train::{Outcome, RunFolder};

use crate::config::{BUILT_IN, BuiltIn, ConfigOverride, DataConfig, RunConfig};
use crate::options::Tf32;
use crate::sampling::interrupt::INTERRUPTED;
use crate::stdout::print_line;
use crate::training;
use crate::training::init::{InitArgs, Resume, resume, start};
use crate::training::progress::train;

/// Train a model
///
/// The run directory contains config.toml, log.jsonl, events for TensorBoard, checkpoints/,
/// samples/ and, at the end, final.safetensors with the EMA weights. Ctrl-C saves a checkpoint and
/// stops; --resume continues to the same weights as an uninterrupted run.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Name of a built-in config, or path of a .toml file; optional with --resume
    #[arg(required_unless_present_any = ["list", "resume"])]
    config: Option<String>,
    /// Run directory
    #[arg(long, required_unless_present = "list")]
    out: Option<PathBuf>,
    /// Resume the run in the directory from its newest checkpoint
    #[arg(long)]
    resume: bool,
    /// With --resume: accept another config or other data
    #[arg(long, requires = "resume")]
    allow_changes: bool,
    /// Path of the training images (short for --set data.path=… or data.images=…)
    #[arg(long, value_name = "PATH")]
    data: Option<PathBuf>,
    /// Number of optimizer steps (short for --set train.steps=N)
    #[arg(long)]
    steps: Option<usize>,
    /// Set a key of the config, such as train.lr=5e-4; repeatable
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<String>,
    /// Remove a key of the config, such as train.clip_norm or validation; repeatable
    #[arg(long, value_name = "KEY")]
    unset: Vec<String>,
    /// Device: auto, cpu, cuda or cuda:N
    #[arg(long, default_value_t)]
    device: DeviceChoice,
    #[command(flatten)]
    tf32: Tf32,
    /// List the built-in configs
    #[arg(long)]
    list: bool,
    #[command(flatten)]
    start: InitArgs,
}

pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let Some(out) = arguments.out.as_deref().filter(|_| !arguments.list) else {
        let line = |config: &BuiltIn| format!("{:<17} {}", config.name, config.about());
        print_line(&BUILT_IN.iter().map(line).collect::<Vec<_>>().join("\n"))?;
        return Ok(ExitCode::SUCCESS);
    };
    let config = arguments.load(out)?;
    arguments.tf32.apply()?;
    // All arguments are validated before the directory is created.
    let (mut trainer, metadata) = start(&config, arguments.device.resolve()?)?;
    let folder = if arguments.resume {
        let allow_changes = arguments.allow_changes;
        resume(&mut trainer, &Resume { config: &config, out, allow_changes })?
    } else {
        let given = arguments.start.apply(&mut trainer, &metadata)?;
        let folder = RunFolder::create(out)?;
        if given {
            trainer.save(&folder)?; // --resume takes no --init
        }
        folder
    };
    let text = config.to_toml()?;
    write_atomic(&folder.config(), |file| file.write_all(text.as_bytes()))?;

    if train(&mut trainer, &folder, &metadata, &text)? == Outcome::Stopped {
        eprintln!("stopped and saved after step {}; continue with --resume", trainer.step());
        return Ok(ExitCode::from(INTERRUPTED));
    }
    for path in training::finish(&trainer, &folder, &metadata, &config)? {
        eprintln!("{} contains the EMA weights", path.display());
    }
    Ok(ExitCode::SUCCESS)
}

impl Arguments {
    /// The named config, or that of the run to resume, with --set and --unset applied.
    fn load(&self, out: &Path) -> Result<RunConfig> {
        let name = match &self.config {
            Some(name) => name.clone(),
            None => RunFolder::open(out)?.config().display().to_string(),
        };
        let mut overrides: Vec<ConfigOverride> =
            self.settings.iter().map(|text| ConfigOverride::parse(text)).collect::<Result<_>>()?;
        overrides.extend(self.unset.iter().map(|key| ConfigOverride::unset(key)));
        overrides.extend(self.steps.map(|steps| ConfigOverride::set("train.steps", steps as i64)));
        if let Some(path) = &self.data {
            let kind = RunConfig::data_kind(&name, &overrides)?;
            let key = DataConfig::path_key(&kind).with_context(|| {
                format!(
                    "--data {}: the images of {name} are generated, not read from files",
                    path.display()
                )
            })?;
            overrides.push(ConfigOverride::set(&format!("data.{key}"), path.display().to_string()));
        }
        let config = RunConfig::load(&name, &overrides)?;
        config.model.plan().context("[model]")?;
        config.train.check()?;
        Ok(config)
    }
}
