//! What the terminal, TensorBoard and the samples folder see of a run.

use std::fs;
use std::time::Instant;

use anyhow::Result;
use indicatif::ProgressBar;
use inkdrop_data::DataError;
use inkdrop_nn::TrainableNetwork;
use inkdrop_report::EventWriter;
use inkdrop_train::{LogLine, Outcome, RunFolder, StepReport, Trainer, Watcher, WatcherError};
use inkdrop_unet::ModelConfig;

use crate::making::request::preview;
use crate::making::stop::Stop;
use crate::model::card::Card;
use crate::progress;

/// Trains to the end, or until Ctrl-C.
///
/// - config: the run's config as TOML, for TensorBoard
pub fn watch(
    trainer: &mut Trainer,
    folder: &RunFolder,
    card: &Card,
    config: &str,
) -> Result<Outcome> {
    let step = trainer.step() as u64;
    let mut events = EventWriter::open(folder.events(), step)?;
    if events.is_first() {
        events.text("config", 0, &format!("```toml\n{config}\n```"))?;
    }
    let bar = progress::bar(trainer.config().steps, "steps");
    bar.set_position(trainer.step() as u64);
    bar.reset_eta();
    let stop = Stop::listen()?;
    let begun = Instant::now();
    let mut screen =
        Screen { bar, stop, events, folder, card, loss: 0.0, seen: 0, images: 0, begun };
    let outcome = trainer.run(Some(folder), &mut screen);
    screen.bar.finish_and_clear();
    Ok(outcome?)
}

struct Screen<'a> {
    bar: ProgressBar,
    stop: Stop,
    events: EventWriter,
    folder: &'a RunFolder,
    card: &'a Card,
    loss: f64,
    seen: usize,
    images: usize,
    begun: Instant,
}

impl Watcher for Screen<'_> {
    fn on_step(&mut self, report: &StepReport) {
        // A loss from one batch jumps: the mean over about the last 50 is shown.
        self.seen += 1;
        self.loss += (report.loss - self.loss) / self.seen.min(50) as f64;
        let (loss, lr) = (self.loss, report.lr);
        self.images += report.images;
        let rate = self.images as f64 / self.begun.elapsed().as_secs_f64();
        self.bar.set_message(format!("loss {loss:.4}, lr {lr:.1e}, {rate:.0} img/s,"));
        self.bar.set_position(report.step as u64);
    }

    fn on_log(&mut self, line: &LogLine) -> Result<(), WatcherError> {
        for (tag, value) in line.numbers() {
            self.events.scalar(tag, line.step as u64, value)?;
        }
        Ok(self.events.flush()?)
    }

    fn on_skipped(&mut self, problem: &DataError) {
        self.bar.suspend(|| eprintln!("left out: {problem}"));
    }

    fn on_sample(
        &mut self,
        step: usize,
        network: &dyn TrainableNetwork,
    ) -> Result<(), WatcherError> {
        if matches!(self.card.model, ModelConfig::ImprovedSuperRes(_)) {
            return Ok(()); // it draws only from small images: `inkdrop edit upscale`
        }
        // A picture that cannot be made is no reason to stop learning.
        let path = self.folder.sample(step);
        if let Err(error) = preview(network, self.card, &path) {
            self.bar.suspend(|| eprintln!("no samples after step {step}: {error:#}"));
            return Ok(());
        }
        self.events.image("samples", step as u64, &fs::read(path)?)?;
        Ok(self.events.flush()?)
    }

    fn should_stop(&self) -> bool {
        self.stop.raised()
    }
}
