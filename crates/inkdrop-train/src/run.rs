//! The training loop: steps, log, validation, checkpoints; by an iterator or with callbacks.

use std::time::Instant;

use inkdrop_data::DataError;
use inkdrop_nn::TrainableNetwork;

use crate::run_folder::Log;
use crate::trainer::check_finite;
use crate::{LogLine, Precision, RunFolder, StepMetrics, TrainError, Trainer};

/// The result of one step of a [`TrainingRun`].
#[derive(Debug)]
pub struct RunStep {
    /// Number of steps done.
    pub step: usize,
    /// The metrics that were read: usually those of this step; on a GPU they come one step late.
    pub metrics: Vec<StepMetrics>,
    /// The log line, every `log_every` steps and after validation.
    pub log_line: Option<LogLine>,
    /// Unreadable images that the data loader skipped.
    pub skipped: Vec<DataError>,
    /// True every `sample_every` steps and after the last step: draw samples now.
    pub sample_due: bool,
}

/// A training run with its log and checkpoints; made by [`Trainer::start_run`].
///
/// Each [`TrainingRun::next_step`] first saves the checkpoint that the step before it made due, so
/// that samples drawn in between are on disk no later than the checkpoint. To stop, leave the loop
/// and call [`TrainingRun::save`].
pub struct TrainingRun<'a> {
    trainer: &'a mut Trainer,
    folder: Option<&'a RunFolder>,
    log: Option<Log>,
    started: Instant,
    /// True if the last step made a checkpoint due.
    checkpoint_due: bool,
    /// Start of the caller's sampling, which does not count as training time.
    sampling_since: Option<Instant>,
}

impl Trainer {
    /// Starts a run, at the trainer's step; with a folder, log and checkpoints are written there.
    ///
    /// With several processes, all start with the state of process 0, which alone has a folder.
    ///
    /// # Errors
    /// The log cannot be opened, or another process trains something else.
    pub fn start_run<'a>(
        &'a mut self,
        folder: Option<&'a RunFolder>,
    ) -> Result<TrainingRun<'a>, TrainError> {
        self.synchronize()?;
        let mut log = None;
        if let Some(folder) = folder {
            let (opened, lines) = Log::open(&folder.log(), self.step)?;
            self.loss_curve = lines.iter().collect();
            log = Some(opened);
        }
        self.restart_throughput();
        let started = Instant::now();
        Ok(TrainingRun {
            trainer: self,
            folder,
            log,
            started,
            checkpoint_due: false,
            sampling_since: None,
        })
    }

    /// Trains to the last step and calls the callback after each step.
    ///
    /// # Errors
    /// As for [`TrainingRun::next_step`], or the callback returned an error.
    pub fn run(
        &mut self,
        folder: Option<&RunFolder>,
        callback: &mut dyn TrainerCallback,
    ) -> Result<Outcome, TrainError> {
        let mut run = self.start_run(folder)?;
        while let Some(step) = run.next_step()? {
            step.metrics.iter().for_each(|metrics| callback.on_step(metrics));
            step.skipped.iter().for_each(|problem| callback.on_skipped(problem));
            if let Some(line) = &step.log_line {
                callback.on_log(line).map_err(TrainError::Callback)?;
            }
            if step.sample_due {
                let network = run.trainer().ema_network();
                callback.on_sample(step.step, network).map_err(TrainError::Callback)?;
            }
            if run.any_process(callback.should_stop())? {
                run.save()?.iter().for_each(|metrics| callback.on_step(metrics));
                if !run.trainer().is_finished() {
                    return Ok(Outcome::Stopped);
                }
            }
        }
        Ok(Outcome::Finished)
    }

    /// True every `interval` steps, and after the last step.
    fn is_due(&self, interval: usize) -> bool {
        self.step.is_multiple_of(interval) || self.is_finished()
    }

    fn sample_is_due(&self) -> bool {
        self.config.sample_every > 0 && self.is_due(self.config.sample_every)
    }

    fn validation_is_due(&self) -> bool {
        self.has_validation() && self.is_due(self.config.validate_every)
    }

    fn checkpoint_is_due(&self) -> bool {
        self.config.checkpoints().is_due(self.step, self.config.steps)
    }

    /// True if logging, sampling, validation or a checkpoint follows this step, so that its
    /// metrics must be read now.
    fn needs_sync(&self) -> bool {
        self.is_due(self.config.log_every)
            || self.checkpoint_is_due()
            || self.validation_is_due()
            || self.sample_is_due()
    }
}

impl TrainingRun<'_> {
    /// The trainer.
    pub fn trainer(&self) -> &Trainer {
        self.trainer
    }

    /// True if the flag is true in any process of the run: to stop all of them after the same step.
    ///
    /// # Errors
    /// A process ended.
    pub fn any_process(&self, flag: bool) -> Result<bool, TrainError> {
        self.trainer.processes.any(flag)
    }

    /// Takes the next optimizer step; writes the log and, if due, the checkpoint of the step
    /// before. Returns `None` after the last step, when its checkpoint is saved.
    ///
    /// # Errors
    /// - The loss or the gradient norm is NaN or infinite. The last checkpoint stays; restore it
    ///   before training on, because running statistics include the bad batch.
    /// - An image cannot be read: the state of the last step is saved, if there is a folder.
    /// - A file cannot be written.
    pub fn next_step(&mut self) -> Result<Option<RunStep>, TrainError> {
        if let Some(since) = self.sampling_since.take() {
            self.trainer.throughput.exclude(since.elapsed());
        }
        if self.checkpoint_due {
            self.checkpoint()?;
        }
        if self.trainer.is_finished() {
            return Ok(None);
        }
        let metrics = match self.take_step() {
            Err(TrainError::Images(source)) => return Err(self.save_before(source)),
            result => result.map_err(|error| self.name_checkpoint(error))?,
        };
        let skipped = self.trainer.loader.take_skipped();
        let log_line = match self.log_line_if_due() {
            // Saving is a step of all processes, and the others may have no such image.
            Err(TrainError::Images(source)) if self.trainer.processes.count() == 1 => {
                return Err(self.save_before(source));
            }
            result => result?,
        };
        let sample_due = self.trainer.sample_is_due();
        self.sampling_since = sample_due.then(Instant::now);
        self.checkpoint_due = self.trainer.checkpoint_is_due();
        let step = self.trainer.step;
        Ok(Some(RunStep { step, metrics, log_line, skipped, sample_due }))
    }

    /// Saves a checkpoint now; returns metrics that were still on the device.
    ///
    /// # Errors
    /// The loss or the gradient norm is NaN or infinite, or the checkpoint cannot be written.
    pub fn save(&mut self) -> Result<Vec<StepMetrics>, TrainError> {
        let metrics = self.trainer.flush().map_err(|error| self.name_checkpoint(error))?;
        self.checkpoint()?;
        Ok(metrics.into_iter().collect())
    }

    /// Takes a step and reads all metrics that are needed now.
    fn take_step(&mut self) -> Result<Vec<StepMetrics>, TrainError> {
        let mut metrics: Vec<StepMetrics> = self.trainer.take_step()?.into_iter().collect();
        if self.trainer.needs_sync() {
            metrics.extend(self.trainer.flush()?);
        }
        Ok(metrics)
    }

    fn log_line_if_due(&mut self) -> Result<Option<LogLine>, TrainError> {
        let trainer = &mut *self.trainer;
        if !trainer.is_due(trainer.config.log_every) && !trainer.validation_is_due() {
            return Ok(None);
        }
        let line = trainer.log_line(self.started)?;
        if let Some(log) = &mut self.log {
            log.write(&line)?;
        }
        trainer.loss_curve.push(&line);
        trainer.reset_metrics();
        Ok(Some(line))
    }

    /// Saves a checkpoint, unless the weights have become unusable.
    fn checkpoint(&mut self) -> Result<(), TrainError> {
        // The log must reach the disk no later than the checkpoint, or a resumed run lacks lines.
        self.log.as_ref().map(Log::sync).transpose()?;
        if let Some(loss) = self.trainer.sanity_loss()? {
            let step = self.trainer.step + 1;
            check_finite("loss", loss, step).map_err(|error| self.name_checkpoint(error))?;
        }
        match self.folder {
            Some(folder) => self.trainer.save(folder)?,
            None => self.trainer.send_state()?,
        }
        self.checkpoint_due = false;
        Ok(())
    }

    /// Saves the state before the error of an image stops the run. No step is half done: batches are loaded
    /// before it, validation images after it. All processes of a run come here, since saving is a step of all.
    fn save_before(&mut self, source: DataError) -> TrainError {
        let step = self.trainer.step;
        if step == 0 || (self.folder.is_none() && self.trainer.is_main_process()) {
            return TrainError::Images(source);
        }
        match (self.save(), self.folder) {
            (Err(error), _) => error,
            (Ok(_), None) => TrainError::Images(source),
            (Ok(_), Some(folder)) => {
                TrainError::BrokenImage { source, step, saved: folder.checkpoint(step) }
            }
        }
    }

    /// Adds the last good checkpoint to an error about NaN or infinite values.
    fn name_checkpoint(&self, error: TrainError) -> TrainError {
        match (error, self.folder.and_then(RunFolder::latest)) {
            (TrainError::NotFinite { what, step, value, .. }, Some(path)) => {
                let kept = format!("the last good checkpoint is {}", path.display());
                TrainError::NotFinite { what, step, value, kept }
            }
            (error, _) => error,
        }
    }
}

impl Trainer {
    /// The log line of the steps since the last one, with the validation loss if it is due.
    fn log_line(&self, started: Instant) -> Result<LogLine, TrainError> {
        let seconds = started.elapsed().as_secs_f64();
        let lr = self.config.lr_at(self.step.saturating_sub(1));
        // Rates are read first, because validation does not count as training time.
        let (images_per_s, data_wait_fraction) = self.throughput.rates(self.loader.waited());
        let all_reduces = self.throughput.all_reduces();
        let scaled = self.config.precision == Precision::F16;
        let validation = match self.validation_is_due() {
            true => self.validate()?,
            false => None,
        };
        Ok(LogLine {
            images_per_s,
            data_wait_fraction,
            all_reduce_bytes: all_reduces.map(|all| all.bytes),
            all_reduce_seconds: all_reduces.map(|all| all.seconds),
            all_reduce_hidden_fraction: all_reduces.map(|all| all.hidden),
            seconds,
            loss_scale: scaled.then(|| self.loss_scaler.log2()),
            validation,
            ..self.metrics.log_line(self.step, lr)
        })
    }
}

/// An error of a callback.
pub type CallbackError = Box<dyn std::error::Error + Send + Sync>;

/// Callbacks of [`Trainer::run`]. All methods have a default that does nothing.
///
/// For a loop of your own, use [`Trainer::start_run`] or [`Trainer::steps`].
pub trait TrainerCallback {
    /// Called after every step.
    fn on_step(&mut self, _metrics: &StepMetrics) {}

    /// Called after every log line.
    ///
    /// # Errors
    /// Any error ends the run.
    fn on_log(&mut self, _line: &LogLine) -> Result<(), CallbackError> {
        Ok(())
    }

    /// Called for every unreadable image that the data loader skipped.
    fn on_skipped(&mut self, _problem: &DataError) {}

    /// Called every `sample_every` steps and after the last step, with the EMA network.
    ///
    /// # Errors
    /// Any error ends the run.
    fn on_sample(
        &mut self,
        _step: usize,
        _network: &dyn TrainableNetwork,
    ) -> Result<(), CallbackError> {
        Ok(())
    }

    /// Called after every step; true saves a checkpoint and ends the run.
    fn should_stop(&self) -> bool {
        false
    }
}

/// A callback that does nothing.
#[derive(Debug)]
pub struct NoCallback;

impl TrainerCallback for NoCallback {}

/// The end of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// All steps are done.
    Finished,
    /// The callback stopped the run; the state is saved.
    Stopped,
}
