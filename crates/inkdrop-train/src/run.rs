//! The loop: steps, log, checkpoints and samples.

use std::time::Instant;

use inkdrop_nn::Network;

use crate::log::{Line, Log};
use crate::{RunFolder, TrainError, Trainer};

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

/// Who looks on while a network is trained.
pub trait Watcher {
    /// After every step.
    fn on_step(&mut self, _report: &StepReport) {}

    /// Every `sample_every` steps, and at the end: time to draw a grid from the averaged network.
    ///
    /// # Errors
    /// Whatever keeps the grid from being made; it stops the run.
    fn on_sample(
        &mut self,
        _step: usize,
        _network: &dyn Network,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
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

/// Means since the last line of the log.
struct Window {
    begun: Instant,
    loss: f64,
    steps: usize,
    images: usize,
}

impl Window {
    fn new() -> Self {
        Self { begun: Instant::now(), loss: 0.0, steps: 0, images: 0 }
    }
}

impl Trainer {
    /// Trains to the last step; with a folder, keeps log and checkpoints there.
    ///
    /// # Errors
    /// The loss is no number (the last checkpoint stays; restore it before going
    /// on, since running statistics have seen the bad batch), or a file cannot be written.
    pub fn run(
        &mut self,
        folder: Option<&RunFolder>,
        watcher: &mut dyn Watcher,
    ) -> Result<Outcome, TrainError> {
        let mut log = folder.map(|folder| Log::open(&folder.log(), self.step)).transpose()?;
        let begun = Instant::now();
        let mut window = Window::new();
        while self.step < self.config.steps {
            let report = self.one_step(folder, &mut window)?;
            watcher.on_step(&report);
            if self.due(self.config.log_every) {
                let line = self.line(&report, &window, begun);
                log.as_mut().map(|log| log.write(&line)).transpose()?;
                window = Window::new();
            }
            let stop = watcher.should_stop();
            if stop || self.due(self.config.checkpoint_every) {
                self.checkpoint(folder)?;
            }
            if self.config.sample_every > 0 && self.due(self.config.sample_every) {
                watcher.on_sample(self.step, self.average()).map_err(TrainError::Watcher)?;
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
    /// The loss is no number.
    pub fn run_steps(&mut self, steps: usize, watcher: &mut dyn Watcher) -> Result<(), TrainError> {
        let mut window = Window::new();
        for _ in 0..steps.min(self.config.steps - self.step) {
            watcher.on_step(&self.one_step(None, &mut window)?);
        }
        Ok(())
    }

    /// Whether something that happens every so many steps, and at the end, happens now.
    fn due(&self, every: usize) -> bool {
        self.step.is_multiple_of(every) || self.step == self.config.steps
    }

    fn one_step(
        &mut self,
        folder: Option<&RunFolder>,
        window: &mut Window,
    ) -> Result<StepReport, TrainError> {
        let lr = self.config.lr_at(self.step);
        let images = self.images_at(self.step);
        let loss = self.advance()?;
        self.check(loss, folder)?;
        window.loss += loss;
        window.steps += 1;
        window.images += images;
        Ok(StepReport { step: self.step, steps: self.config.steps, loss, lr, images })
    }

    fn line(&self, report: &StepReport, window: &Window, begun: Instant) -> Line {
        Line {
            step: report.step,
            loss: window.loss / window.steps as f64,
            lr: report.lr,
            images_per_s: window.images as f64 / window.begun.elapsed().as_secs_f64(),
            seconds: begun.elapsed().as_secs_f64(),
        }
    }

    /// Stops where a loss is no number.
    fn check(&self, loss: f64, folder: Option<&RunFolder>) -> Result<(), TrainError> {
        if loss.is_finite() {
            return Ok(());
        }
        let kept = match folder.and_then(RunFolder::latest) {
            Some(path) => format!("the last good checkpoint is {}", path.display()),
            None => "no checkpoint was saved before".to_string(),
        };
        Err(TrainError::NotFinite { step: self.step + 1, loss, kept })
    }

    /// Saves the state, once the weights have shown that they still work.
    fn checkpoint(&self, folder: Option<&RunFolder>) -> Result<(), TrainError> {
        self.check(self.probe()?, folder)?;
        match folder {
            Some(folder) => folder.save(&self.state()?, self.step, self.config.checkpoints_kept),
            None => Ok(()),
        }
    }
}
