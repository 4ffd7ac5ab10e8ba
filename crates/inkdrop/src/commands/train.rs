//! `inkdrop train`: a run from a config, into a folder.

use std::error::Error;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use indicatif::ProgressBar;
use inkdrop_checkpoint::Weights;
use inkdrop_data::output::write_atomic;
use inkdrop_nn::Network;
use inkdrop_process::Process;
use inkdrop_torch::DeviceChoice;
use inkdrop_torch::tch::{Kind, manual_seed};
use inkdrop_train::{Outcome, RunFolder, StepReport, Trainer, Watcher};
use serde_json::{Value, json};

use super::sample::preview;
use crate::card::Card;
use crate::config::{BUILT_IN, RunConfig, check_fit};
use crate::progress;
use crate::stop::{INTERRUPTED, Stop};

/// Train a model
///
/// The run folder gets config.toml, log.jsonl, checkpoints/, samples/ and, at
/// the end, final.safetensors with the averaged weights. Ctrl-C saves and stops.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Name of a built-in config, or path of a .toml file
    #[arg(required_unless_present = "list")]
    config: Option<String>,
    /// Folder of the run
    #[arg(long, required_unless_present = "list")]
    out: Option<PathBuf>,
    /// Go on with the run in the folder
    #[arg(long)]
    resume: bool,
    /// Number of steps (short for --set train.steps=N)
    #[arg(long)]
    steps: Option<usize>,
    /// Set any key of the config, such as train.lr=5e-4; repeatable
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<String>,
    /// Where to compute: auto, cpu, cuda or cuda:N
    #[arg(long, default_value_t)]
    device: DeviceChoice,
    /// List the built-in configs
    #[arg(long)]
    list: bool,
}

pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let (Some(name), Some(out), false) = (&arguments.config, &arguments.out, arguments.list) else {
        BUILT_IN.iter().for_each(|(name, _)| println!("{name}"));
        return Ok(ExitCode::SUCCESS);
    };
    let mut settings = arguments.settings.clone();
    settings.extend(arguments.steps.map(|steps| format!("train.steps={steps}")));
    let config = RunConfig::load(name, &settings)?;
    config.model.plan().context("[model]")?;
    config.train.check()?;
    let device = arguments.device.resolve()?;

    // Everything that can be wrong with the request is found before the folder is touched.
    let data = config.data.load()?;
    let card = Card {
        model: config.model.clone(),
        process: config.process.clone(),
        contexts: config.data.context_names(),
    };
    check_fit(&config.model, &data, &card.contexts)?;
    let process = Process::new(&config.process, device)?;
    manual_seed(config.train.seed as i64);
    let network = config.model.build(Kind::Float, device)?;
    let average = config.model.build(Kind::Float, device)?;
    let mut trainer = Trainer::new(network, average, process, data, config.train.clone())?;

    let folder = open(arguments, &config, out)?;
    if arguments.resume {
        resume(&mut trainer, &folder)?;
    }
    let outcome = watch(&mut trainer, &folder, &card)?;
    if outcome == Outcome::Stopped {
        eprintln!("stopped and saved after step {}; go on with --resume", trainer.step());
        return Ok(ExitCode::from(INTERRUPTED));
    }
    finish(&trainer, &folder, &card, &config)?;
    eprintln!("{} holds the averaged weights", folder.finished().display());
    Ok(ExitCode::SUCCESS)
}

/// The run's folder: a new one, or that of the run to resume if it is the same run.
fn open(arguments: &Arguments, config: &RunConfig, out: &std::path::Path) -> Result<RunFolder> {
    let text = config.to_toml()?;
    let folder = if arguments.resume {
        let folder = RunFolder::open(out)?;
        let saved = fs::read_to_string(folder.config())?;
        let saved: RunConfig = toml::from_str(&saved)
            .with_context(|| format!("{} cannot be used", folder.config().display()))?;
        let drift = config.drift(&saved);
        if !drift.is_empty() {
            bail!(
                "{} holds another run; give the same config to resume it, or choose another folder. Different:\n  {}",
                out.display(),
                drift.join("\n  ")
            );
        }
        folder
    } else {
        RunFolder::create(out)?
    };
    write_atomic(&folder.config(), |file| file.write_all(text.as_bytes()))?;
    Ok(folder)
}

fn resume(trainer: &mut Trainer, folder: &RunFolder) -> Result<()> {
    match folder.latest() {
        Some(path) => {
            trainer.restore(&path)?;
            eprintln!("resuming after step {} from {}", trainer.step(), path.display());
        }
        None => eprintln!("no checkpoint was saved yet: starting from step 0"),
    }
    Ok(())
}

fn watch(trainer: &mut Trainer, folder: &RunFolder, card: &Card) -> Result<Outcome> {
    let bar = progress::bar(trainer.config().steps, "steps");
    bar.set_position(trainer.step() as u64);
    bar.reset_eta();
    let stop = Stop::listen()?;
    let mut screen =
        Screen { bar, stop, folder, card, loss: None, images: 0, begun: std::time::Instant::now() };
    let outcome = trainer.run(Some(folder), &mut screen);
    screen.bar.finish_and_clear();
    Ok(outcome?)
}

/// What the terminal and the samples folder see of a run.
struct Screen<'a> {
    bar: ProgressBar,
    stop: Stop,
    folder: &'a RunFolder,
    card: &'a Card,
    loss: Option<f64>,
    images: usize,
    begun: std::time::Instant,
}

impl Watcher for Screen<'_> {
    fn on_step(&mut self, report: &StepReport) {
        // A loss from one batch jumps: the mean over about the last 50 is shown.
        let loss = self.loss.map_or(report.loss, |old| old + 0.02 * (report.loss - old));
        self.loss = Some(loss);
        self.images += report.images;
        let rate = self.images as f64 / self.begun.elapsed().as_secs_f64();
        self.bar.set_message(format!("loss {loss:.4}, {rate:.0} images/s,"));
        self.bar.set_position(report.step as u64);
    }

    fn on_sample(
        &mut self,
        step: usize,
        network: &dyn Network,
    ) -> Result<(), Box<dyn Error + Send + Sync>> {
        Ok(preview(network, self.card, &self.folder.sample(step))?)
    }

    fn should_stop(&self) -> bool {
        self.stop.raised()
    }
}

/// Writes final.safetensors: the averaged weights with all that made them.
fn finish(trainer: &Trainer, folder: &RunFolder, card: &Card, config: &RunConfig) -> Result<()> {
    let mut weights = Weights::of(trainer.average().params());
    card.write(&mut weights)?;
    let training = json!({
        "inkdrop": env!("CARGO_PKG_VERSION"),
        "data": config.data,
        "train": config.train,
        "steps": trainer.step(),
        "loss_curve": loss_curve(folder)?,
    });
    weights.set_metadata("training", &training)?;
    Ok(weights.save(&folder.finished())?)
}

/// At most 200 points [step, loss] of the log, each the mean of its stretch.
fn loss_curve(folder: &RunFolder) -> Result<Vec<(u64, f64)>> {
    let log = fs::read_to_string(folder.log())?;
    let lines: Vec<Value> =
        log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let stretch = lines.len().div_ceil(200).max(1);
    let point = |lines: &[Value]| {
        let mean =
            lines.iter().filter_map(|line| line["loss"].as_f64()).sum::<f64>() / lines.len() as f64;
        let step = lines.last().and_then(|line| line["step"].as_u64()).unwrap_or(0);
        (step, (mean * 1e5).round() / 1e5)
    };
    Ok(lines.chunks(stretch).map(point).collect())
}
