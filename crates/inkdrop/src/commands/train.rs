//! `inkdrop train`: a run from a config, into a folder.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};
use indicatif::ProgressBar;
use inkdrop_checkpoint::Weights;
use inkdrop_data::output::write_atomic;
use inkdrop_nn::Network;
use inkdrop_process::Process;
use inkdrop_torch::DeviceChoice;
use inkdrop_torch::tch::{Device, Kind, manual_seed};
use inkdrop_train::{Outcome, RunFolder, StepReport, Trainer, Watcher};
use serde_json::{Value, json};

use crate::config::{BUILT_IN, Loaded, RunConfig, fit};
use crate::making::request::preview;
use crate::making::stop::{INTERRUPTED, Stop};
use crate::model::card::Card;
use crate::progress;
use crate::say::say;

/// Train a model
///
/// The run folder gets config.toml, log.jsonl, checkpoints/, samples/ and, at
/// the end, final.safetensors with the averaged weights. Ctrl-C saves and stops.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Name of a built-in config, or path of a .toml file; not needed with --resume
    #[arg(required_unless_present_any = ["list", "resume"])]
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
    let Some(out) = arguments.out.as_deref().filter(|_| !arguments.list) else {
        say(&BUILT_IN.map(|(name, _)| name).join("\n"))?;
        return Ok(ExitCode::SUCCESS);
    };
    let config = arguments.load(out)?;
    // Everything that can be wrong with the request is found before the folder is touched.
    let (mut trainer, card) = trainer(&config, arguments.device.resolve()?)?;
    let folder = if arguments.resume {
        resume(&mut trainer, &config, out)?
    } else {
        RunFolder::create(out)?
    };
    let text = config.to_toml()?;
    write_atomic(&folder.config(), |file| file.write_all(text.as_bytes()))?;

    if watch(&mut trainer, &folder, &card)? == Outcome::Stopped {
        eprintln!("stopped and saved after step {}; go on with --resume", trainer.step());
        return Ok(ExitCode::from(INTERRUPTED));
    }
    finish(&trainer, &folder, &card, &config)?;
    eprintln!("{} holds the averaged weights", folder.finished().display());
    Ok(ExitCode::SUCCESS)
}

impl Arguments {
    /// The config that was named, or that of the run to resume, with what was set over it.
    fn load(&self, out: &Path) -> Result<RunConfig> {
        let mut settings = self.settings.clone();
        settings.extend(self.steps.map(|steps| format!("train.steps={steps}")));
        let config = match &self.config {
            Some(name) => RunConfig::load(name, &settings)?,
            None => {
                let saved = RunFolder::open(out)?.config();
                RunConfig::load(&saved.display().to_string(), &settings)?
            }
        };
        config.model.plan().context("[model]")?;
        config.train.check()?;
        Ok(config)
    }
}

/// A run at step 0, with its data in memory, and what its weights are to say of themselves.
fn trainer(config: &RunConfig, device: Device) -> Result<(Trainer, Card)> {
    let Loaded { data, classes, skipped } = config.data.load(config.model.image_shape()[0])?;
    for error in skipped {
        eprintln!("left out: {error}");
    }
    let card = Card {
        model: config.model.clone(),
        process: config.process.clone(),
        contexts: match config.model.contexts() {
            0 => Vec::new(), // an unconditional network
            _ => classes,
        },
    };
    let data = fit(config, data, &card.contexts)?;
    let process = Process::new(&config.process, device)?;
    manual_seed(config.train.seed as i64);
    let network = config.model.build(Kind::Float, device)?;
    let average = config.model.build(Kind::Float, device)?;
    let trainer = Trainer::new(network, average, process, data, config.train.clone())?;
    Ok((trainer, card))
}

/// Takes the trainer to where the run in the folder stopped, if it is the same run.
fn resume(trainer: &mut Trainer, config: &RunConfig, out: &Path) -> Result<RunFolder> {
    let folder = RunFolder::open(out)?;
    let saved = RunConfig::load(&folder.config().display().to_string(), &[])?;
    let drift = config.drift(&saved);
    if !drift.is_empty() {
        bail!(
            "{} holds another run; give the same config to resume it, or choose another folder. Different:\n  {}",
            out.display(),
            drift.join("\n  ")
        );
    }
    let Some(path) = folder.latest() else {
        eprintln!("no checkpoint was saved yet: starting from step 0");
        return Ok(folder);
    };
    trainer.restore(&path)?;
    let (done, steps, before) = (trainer.step(), config.train.steps, saved.train.steps);
    ensure!(
        done <= steps,
        "train.steps = {steps}, but the run in {} has taken {done} steps already; expected at least {done}",
        out.display()
    );
    eprintln!("resuming after step {done} from {}", path.display());
    if steps != before {
        eprintln!(
            "train.steps: {before} → {steps}; the learning rate now follows its schedule to step {steps}"
        );
    }
    Ok(folder)
}

fn watch(trainer: &mut Trainer, folder: &RunFolder, card: &Card) -> Result<Outcome> {
    let bar = progress::bar(trainer.config().steps, "steps");
    bar.set_position(trainer.step() as u64);
    bar.reset_eta();
    let stop = Stop::listen()?;
    let mut screen = Screen {
        bar,
        stop,
        folder,
        card,
        loss: 0.0,
        seen: 0,
        images: 0,
        begun: std::time::Instant::now(),
    };
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
    loss: f64,
    seen: usize,
    images: usize,
    begun: std::time::Instant,
}

impl Watcher for Screen<'_> {
    fn on_step(&mut self, report: &StepReport) {
        // A loss from one batch jumps: the mean over about the last 50 is shown.
        self.seen += 1;
        self.loss += (report.loss - self.loss) / self.seen.min(50) as f64;
        let loss = self.loss;
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
        // A picture that cannot be made is no reason to stop learning.
        let path = self.folder.sample(step);
        if let Err(error) = preview(network, self.card, &path) {
            self.bar.suspend(|| eprintln!("no samples after step {step}: {error:#}"));
        }
        Ok(())
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
