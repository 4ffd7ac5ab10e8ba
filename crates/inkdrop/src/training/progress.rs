//! The training loop of `inkdrop train`: progress bar, TensorBoard events, sample grids.

use std::time::Instant;

use anyhow::Result;
use indicatif::ProgressBar;
use inkdrop_data::output::write_atomic;
use inkdrop_data::picture::encode_png;
use inkdrop_nn::TrainableNetwork;
use inkdrop_report::EventWriter;
use inkdrop_train::{Outcome, RunFolder, RunStep, StepMetrics, Trainer, TrainingRun};
use inkdrop_unet::ModelConfig;

use crate::model::metadata::ModelMetadata;
use crate::progress;
use crate::sampling::interrupt::Interrupt;
use crate::sampling::session::preview;

/// Trains to the last step, or until Ctrl-C.
///
/// - config: the run's config as TOML, for TensorBoard
pub fn train(
    trainer: &mut Trainer,
    folder: &RunFolder,
    metadata: &ModelMetadata,
    config: &str,
) -> Result<Outcome> {
    let mut progress = TrainingProgress::new(trainer, folder, metadata, config)?;
    let stop = Interrupt::listen()?;
    let outcome = training_loop(trainer.start_run(Some(folder))?, &mut progress, &stop);
    progress.bar.finish_and_clear();
    outcome
}

fn training_loop(
    mut run: TrainingRun,
    progress: &mut TrainingProgress,
    stop: &Interrupt,
) -> Result<Outcome> {
    while let Some(step) = run.next_step()? {
        progress.show(&step)?;
        if step.sample_due {
            progress.draw_samples(step.step, run.trainer().ema_network())?;
        }
        if stop.raised() {
            run.save()?;
            if !run.trainer().is_finished() {
                return Ok(Outcome::Stopped);
            }
        }
    }
    Ok(Outcome::Finished)
}

/// The progress of a run on the terminal, in TensorBoard and in the samples folder.
struct TrainingProgress<'a> {
    bar: ProgressBar,
    events: EventWriter,
    folder: &'a RunFolder,
    metadata: &'a ModelMetadata,
    /// Running mean of the loss.
    loss: f64,
    steps: usize,
    images: usize,
    started: Instant,
}

impl<'a> TrainingProgress<'a> {
    fn new(
        trainer: &Trainer,
        folder: &'a RunFolder,
        metadata: &'a ModelMetadata,
        config: &str,
    ) -> Result<TrainingProgress<'a>> {
        let step = trainer.step() as u64;
        let mut events = EventWriter::open(folder.events(), step)?;
        if events.is_first() {
            events.text("config", 0, &format!("```toml\n{config}\n```"))?;
        }
        let bar = progress::bar(trainer.config().steps, "steps");
        bar.set_position(step);
        bar.reset_eta();
        let started = Instant::now();
        Ok(Self { bar, events, folder, metadata, loss: 0.0, steps: 0, images: 0, started })
    }

    /// Shows the metrics of a step, and writes its log line to TensorBoard.
    fn show(&mut self, step: &RunStep) -> Result<()> {
        step.metrics.iter().for_each(|metrics| self.show_metrics(metrics));
        for problem in &step.skipped {
            self.bar.suspend(|| eprintln!("left out: {problem}"));
        }
        let Some(line) = &step.log_line else { return Ok(()) };
        for (tag, value) in line.numbers() {
            self.events.scalar(tag, line.step as u64, value)?;
        }
        Ok(self.events.flush()?)
    }

    fn show_metrics(&mut self, metrics: &StepMetrics) {
        // The loss of one batch is noisy: show the mean over about the last 50.
        self.steps += 1;
        self.loss += (metrics.loss - self.loss) / self.steps.min(50) as f64;
        let (loss, lr) = (self.loss, metrics.lr);
        self.images += metrics.images();
        let rate = self.images as f64 / self.started.elapsed().as_secs_f64();
        self.bar.set_message(format!("loss {loss:.4}, lr {lr:.1e}, {rate:.0} img/s,"));
        self.bar.set_position(metrics.step as u64);
    }

    /// Samples a grid from the EMA network, for the samples folder and for TensorBoard.
    fn draw_samples(&mut self, step: usize, network: &dyn TrainableNetwork) -> Result<()> {
        if matches!(self.metadata.model, ModelConfig::ImprovedSuperRes(_)) {
            return Ok(()); // it samples only from low-resolution images: `inkdrop edit upscale`
        }
        let png = match self.sample_grid(step, network) {
            Ok(png) => png,
            // Failed samples are no reason to stop training.
            Err(error) => {
                self.bar.suspend(|| eprintln!("no samples after step {step}: {error:#}"));
                return Ok(());
            }
        };
        self.events.image("samples", step as u64, &png)?;
        Ok(self.events.flush()?)
    }

    /// Writes a sample grid to the samples folder and returns its PNG bytes.
    fn sample_grid(&self, step: usize, network: &dyn TrainableNetwork) -> Result<Vec<u8>> {
        let png = encode_png(&preview(network, self.metadata)?)?;
        write_atomic(&self.folder.sample(step), |file| file.write_all(&png))?;
        Ok(png)
    }
}
