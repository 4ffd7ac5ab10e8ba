//! `inkdrop train`: trains a model from a config, in a run directory.

use std::path::{Path, PathBuf};
#[cfg(feature = "serve")]
use std::sync::atomic::{AtomicBool, Ordering};
#[cfg(feature = "serve")]
use std::thread::ScopedJoinHandle;
use std::time::Instant;

use anyhow::Result;
use indicatif::ProgressBar;
use inkdrop::config::{BUILT_IN, BuiltIn, ConfigOverride};
use inkdrop::torch::DeviceChoice;
use inkdrop::train::{RunFolder, Trainer};
use inkdrop::{Training, TrainingSession, TrainingStep};
#[cfg(feature = "serve")]
use inkdrop_serve::terminal;

use crate::interrupt::{INTERRUPTED, Interrupt};
use crate::options::{InitArgs, ProcessesArgs, Tf32, is_restarted};
use crate::progress;
use crate::stdout::print_line;

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
    /// Resume the run in the directory from its newest checkpoint, or the newest good one if that is
    /// damaged; `--resume=strict` stops there
    #[arg(long, value_name = "HOW", num_args = 0..=1, require_equals = true, default_missing_value = "newest-good")]
    resume: Option<Resume>,
    /// With --resume: accept another config or other data
    #[arg(long, requires = "resume")]
    allow_changes: bool,
    /// Path of the training images (short for --set data.path=… or data.images=…; the labels beside them are taken)
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
    /// Show curves and samples in the terminal, with keys to stop, to save and to sample (see
    /// `inkdrop watch`)
    #[cfg(feature = "serve")]
    #[arg(long)]
    tui: bool,
    /// List the built-in configs
    #[arg(long)]
    list: bool,
    #[command(flatten)]
    start: InitArgs,
    #[command(flatten)]
    processes: ProcessesArgs,
}

/// What to do about a damaged newest checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Resume {
    NewestGood,
    Strict,
}

pub fn run(arguments: &Arguments) -> Result<u8> {
    let Some(out) = arguments.out.as_deref().filter(|_| !arguments.list) else {
        let line = |config: &BuiltIn| format!("{:<17} {}", config.name, config.about());
        print_line(&BUILT_IN.iter().map(line).collect::<Vec<_>>().join("\n"))?;
        return Ok(0);
    };
    arguments.tf32.apply()?;
    #[cfg(feature = "serve")]
    if arguments.tui {
        return run_to_end(arguments.training(out)?, out, &arguments.processes, Display::View);
    }
    run_to_end(arguments.training(out)?, out, &arguments.processes, Display::Bar)
}

/// How a run shows its progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Display {
    /// A progress bar.
    Bar,
    /// The view of `inkdrop watch`.
    #[cfg(feature = "serve")]
    View,
}

/// Trains in a run directory to the last step or until Ctrl-C. Returns the exit status.
pub fn run_to_end(
    mut training: Training,
    out: &Path,
    processes: &ProcessesArgs,
    display: Display,
) -> Result<u8> {
    if is_restarted()? && RunFolder::read(out).is_ok() {
        training = training.resume(true);
    }
    if let Some(world) = processes.join()? {
        training = training.processes(world);
    }
    let mut session = training.start(out)?;
    session.notes().iter().for_each(|note| eprintln!("{note}"));
    let stop = Interrupt::listen()?;
    let finished = match display {
        Display::Bar => train(&mut session, &stop, true),
        #[cfg(feature = "serve")]
        Display::View => train_in_view(&mut session, out, &stop),
    };
    if !finished? {
        if session.trainer().is_main_process() {
            let step = session.trainer().step();
            eprintln!("stopped and saved after step {step}; continue with --resume");
        }
        return Ok(INTERRUPTED);
    }
    let writes = session.trainer().is_main_process();
    let run = session.finish()?;
    if !writes {
        return Ok(0);
    }
    for path in run.models() {
        eprintln!("{} contains the EMA weights", path.display());
    }
    run.notes().iter().for_each(|note| eprintln!("{note}"));
    Ok(0)
}

/// Trains while a thread shows the view; its keys ask the trainer as those of another process do.
#[cfg(feature = "serve")]
fn train_in_view(session: &mut TrainingSession, out: &Path, stop: &Interrupt) -> Result<bool> {
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let view = session.trainer().is_main_process();
        let view = view.then(|| scope.spawn(|| terminal::watch(out, Some(&ended))));
        let finished = train(session, stop, false);
        ended.store(true, Ordering::Relaxed);
        // A view that failed costs the run nothing.
        if let Some(Ok(Err(error))) = view.map(ScopedJoinHandle::join) {
            eprintln!("note: no view: {error}");
        }
        finished
    })
}

/// Trains to the last step, or until Ctrl-C; returns true if the run is finished.
///
/// - bar: shows a progress bar
fn train(session: &mut TrainingSession, stop: &Interrupt, bar: bool) -> Result<bool> {
    let mut progress = TrainingProgress::new(session.trainer(), bar);
    let mut steps = session.steps()?;
    while let Some(mut step) = steps.next_step()? {
        let stops = steps.obey_requests(stop.raised(), &mut step.problems)?;
        progress.show(&step);
        if stops {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The progress of a run on the terminal.
struct TrainingProgress {
    bar: ProgressBar,
    /// Running mean of the loss.
    loss: f64,
    steps: usize,
    images: usize,
    started: Instant,
}

impl TrainingProgress {
    fn new(trainer: &Trainer, bar: bool) -> Self {
        let bar = match bar && trainer.is_main_process() {
            true => progress::bar(trainer.config().steps, "steps"),
            false => ProgressBar::hidden(),
        };
        bar.set_position(trainer.step() as u64);
        bar.reset_eta();
        Self { bar, loss: 0.0, steps: 0, images: 0, started: Instant::now() }
    }

    fn show(&mut self, step: &TrainingStep) {
        for metrics in &step.metrics {
            // The loss of one batch is noisy: show the mean over about the last 50.
            self.steps += 1;
            self.loss += (metrics.loss - self.loss) / self.steps.min(50) as f64;
            let (loss, lr) = (self.loss, metrics.lr);
            self.images += metrics.images();
            let rate = self.images as f64 / self.started.elapsed().as_secs_f64();
            self.bar.set_message(format!("loss {loss:.4}, lr {lr:.1e}, {rate:.0} img/s,"));
            self.bar.set_position(metrics.step as u64);
        }
        for problem in &step.problems {
            self.bar.suspend(|| eprintln!("left out: {problem}"));
        }
    }
}

impl Drop for TrainingProgress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

impl Arguments {
    /// Applies --set.
    fn set(&self, training: Training) -> Result<Training> {
        let mut settings = self.settings.iter();
        Ok(settings
            .try_fold(training, |training, text| training.change(&ConfigOverride::parse(text)?))?)
    }

    /// The named config, or that of the run to resume, with --set and --unset applied.
    fn training(&self, out: &Path) -> Result<Training> {
        let mut training = match &self.config {
            Some(name) if name.ends_with(".toml") => Training::file(name)?,
            Some(name) => Training::preset(name)?,
            None => Training::file(RunFolder::read(out)?.config())?,
        };
        training = self.set(training)?;
        if let Some(path) = &self.data {
            // It needs the kind of the data, and --set counts more than the labels beside the images.
            training = self.set(training.data_path(path)?)?;
        }
        for key in &self.unset {
            training = training.unset(key)?;
        }
        if let Some(steps) = self.steps {
            training = training.set("train.steps", steps as i64)?;
        }
        Ok(training
            .device(self.device)
            .init(self.start.init())
            .resume(self.resume.is_some())
            .strict_resume(self.resume == Some(Resume::Strict))
            .allow_changes(self.allow_changes))
    }
}
