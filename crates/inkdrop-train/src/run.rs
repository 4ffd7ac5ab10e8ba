//! The loop: steps, log, checkpoints and samples.

use std::time::Instant;

use inkdrop_data::DataError;
use inkdrop_nn::TrainableNetwork;

use crate::log::{Log, LogLine};
use crate::step::Seen;
use crate::{Precision, RunFolder, TrainConfig, TrainError, Trainer};

/// What is known after a step.
#[derive(Debug, Clone, Copy)]
pub struct StepReport {
    /// Steps that are done.
    pub step: usize,
    /// Steps that there will be.
    pub steps: usize,
    /// The loss before the step.
    pub loss: f64,
    /// The step's learning rate.
    pub lr: f64,
    /// Images in the step.
    pub images: usize,
}

/// Why a grid, or whatever else a watcher makes, could not be made.
pub type WatcherError = Box<dyn std::error::Error + Send + Sync>;

/// Who looks on while a network is trained.
pub trait Watcher {
    /// After every step.
    fn on_step(&mut self, _report: &StepReport) {}

    /// After every line of the log.
    ///
    /// # Errors
    /// Whatever keeps the line from being passed on; it stops the run.
    fn on_log(&mut self, _line: &LogLine) -> Result<(), WatcherError> {
        Ok(())
    }

    /// A file that cannot be read was left out, as the data's config allows.
    fn on_skipped(&mut self, _problem: &DataError) {}

    /// Every `sample_every` steps, and at the end: time to draw a grid from the averaged network.
    ///
    /// # Errors
    /// Whatever keeps the grid from being made; it stops the run.
    fn on_sample(
        &mut self,
        _step: usize,
        _network: &dyn TrainableNetwork,
    ) -> Result<(), WatcherError> {
        Ok(())
    }

    /// Asked after every step: whether to save and stop.
    fn should_stop(&self) -> bool {
        false
    }
}

/// A watcher that does nothing.
#[derive(Debug)]
pub struct Silent;

impl Watcher for Silent {}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// All steps are done.
    Finished,
    /// The watcher stopped it; the state is saved.
    Stopped,
}

impl Trainer {
    /// Trains to the last step; with a folder, keeps log and checkpoints there.
    ///
    /// # Errors
    /// A loss or a gradient is no number (the last checkpoint stays; restore it before going
    /// on, since running statistics have seen the bad batch), an image cannot be read, or a file
    /// cannot be written.
    pub fn run(
        &mut self,
        folder: Option<&RunFolder>,
        watcher: &mut dyn Watcher,
    ) -> Result<Outcome, TrainError> {
        let mut log = folder.map(|folder| Log::open(&folder.log(), self.step)).transpose()?;
        let begun = Instant::now();
        while self.step < self.config.steps {
            self.one_step(folder, watcher)?;
            let stop = watcher.should_stop();
            if stop || self.must_know() {
                self.know_all(folder, watcher)?;
            }
            self.loader.take_skipped().iter().for_each(|problem| watcher.on_skipped(problem));
            if self.due(self.config.log_every) || self.validation_is_due() {
                let line = self.line(begun)?;
                log.as_mut().map(|log| log.write(&line)).transpose()?;
                watcher.on_log(&line).map_err(TrainError::Watcher)?;
                self.window = self.fresh_window();
            }
            // Before the checkpoint: a kill between both must not cost the grid.
            if self.config.sample_every > 0 && self.due(self.config.sample_every) {
                let drawing = Instant::now();
                watcher.on_sample(self.step, self.average()).map_err(TrainError::Watcher)?;
                self.window.skip(drawing.elapsed());
            }
            if stop || self.due(self.config.checkpoint_every) {
                // What the log says is there no later than the checkpoint that goes on from it.
                log.as_ref().map(Log::sync).transpose()?;
                self.checkpoint(folder)?;
            }
            if stop && self.step < self.config.steps {
                return Ok(Outcome::Stopped);
            }
        }
        Ok(Outcome::Finished)
    }

    /// Takes this many steps without a folder, or as many as are left.
    ///
    /// # Errors
    /// A loss or a gradient is no number, or an image cannot be read.
    pub fn run_steps(&mut self, steps: usize, watcher: &mut dyn Watcher) -> Result<(), TrainError> {
        for _ in 0..steps.min(self.config.steps - self.step) {
            self.one_step(None, watcher)?;
        }
        self.know_all(None, watcher)
    }

    /// Whether something that happens every so many steps, and at the end, happens now.
    fn due(&self, every: usize) -> bool {
        self.step.is_multiple_of(every) || self.step == self.config.steps
    }

    fn validation_is_due(&self) -> bool {
        self.validation.is_some() && self.due(self.config.validate_every)
    }

    /// Whether what follows this step depends on its numbers.
    fn must_know(&self) -> bool {
        let TrainConfig { log_every, sample_every, checkpoint_every, .. } = self.config;
        self.due(log_every)
            || self.due(checkpoint_every)
            || self.validation_is_due()
            || (sample_every > 0 && self.due(sample_every))
    }

    /// Makes a step and tells of what is known by then.
    fn one_step(
        &mut self,
        folder: Option<&RunFolder>,
        watcher: &mut dyn Watcher,
    ) -> Result<(), TrainError> {
        match self.advance()? {
            Some(seen) => self.tell(seen, folder, watcher),
            None => Ok(()),
        }
    }

    /// Waits for the numbers of all steps that were made.
    fn know_all(
        &mut self,
        folder: Option<&RunFolder>,
        watcher: &mut dyn Watcher,
    ) -> Result<(), TrainError> {
        match self.catch_up()? {
            Some(seen) => self.tell(seen, folder, watcher),
            None => Ok(()),
        }
    }

    fn tell(
        &mut self,
        seen: Seen,
        folder: Option<&RunFolder>,
        watcher: &mut dyn Watcher,
    ) -> Result<(), TrainError> {
        let loss = seen.loss();
        let scaled = self.config.precision == Precision::F16;
        check("loss", loss, seen.step, folder)?;
        if !scaled || self.scale_is_lost() {
            check("gradient", seen.norm, seen.step, folder)?;
        }
        self.window.add(&seen);
        let (step, steps, images) = (seen.step, self.config.steps, seen.losses.len());
        watcher.on_step(&StepReport { step, steps, loss, lr: seen.lr, images });
        Ok(())
    }

    fn line(&self, begun: Instant) -> Result<LogLine, TrainError> {
        let seconds = begun.elapsed().as_secs_f64();
        let lr = self.config.lr_at(self.step.saturating_sub(1));
        let line = self.window.line(self.step, lr, self.loader.waited(), seconds);
        let scaled = self.config.precision == Precision::F16;
        Ok(LogLine {
            loss_scale: scaled.then(|| self.scale.log2()),
            validation: match self.validation_is_due() {
                true => self.validate()?,
                false => None,
            },
            ..line
        })
    }

    /// Saves the state, once the weights have shown that they still work.
    fn checkpoint(&self, folder: Option<&RunFolder>) -> Result<(), TrainError> {
        if let Some(loss) = self.probe()? {
            check("loss", loss, self.step + 1, folder)?;
        }
        folder.map_or(Ok(()), |folder| self.save(folder))
    }
}

/// Stops where a number is none.
fn check(
    what: &'static str,
    value: f64,
    step: usize,
    folder: Option<&RunFolder>,
) -> Result<(), TrainError> {
    if value.is_finite() {
        return Ok(());
    }
    let kept = match folder.and_then(RunFolder::latest) {
        Some(path) => format!("the last good checkpoint is {}", path.display()),
        None => "no checkpoint was saved before".to_string(),
    };
    Err(TrainError::NotFinite { what, step, value, kept })
}
