//! log.jsonl: how the run went, a line at a time.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::TrainError;

/// One line of the log: means since the line before.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LogLine {
    /// Steps that were done.
    pub step: usize,
    /// Mean loss.
    pub loss: f64,
    /// Its error, where a bound is added to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<f64>,
    /// The bound that is added, in bits per dimension, scaled as the loss says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bound: Option<f64>,
    /// Mean loss of the first quarter of the process's steps: little noise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss_q0: Option<f64>,
    /// Of the second quarter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss_q1: Option<f64>,
    /// Of the third quarter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss_q2: Option<f64>,
    /// Of the last quarter: almost only noise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss_q3: Option<f64>,
    /// Mean length of the gradients before clipping, over steps where it was finite.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grad_norm: Option<f64>,
    /// Learning rate of the last step.
    pub lr: f64,
    /// Log2 of the loss's factor in f16.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss_scale: Option<f64>,
    /// Mean loss of the averaged weights on the validation images, where it was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation: Option<f64>,
    /// Images per second.
    pub images_per_s: f64,
    /// Share of the time that was spent waiting for images.
    #[serde(default, rename = "waiting", alias = "data_wait_fraction")]
    pub data_wait_fraction: f64,
    /// Seconds since this start of the run.
    pub seconds: f64,
}

impl LogLine {
    /// The numbers of a line that are there, by name; the names before a `/` belong together.
    pub fn numbers(&self) -> impl Iterator<Item = (&'static str, f64)> + use<> {
        let numbers = [
            ("loss/all", Some(self.loss)),
            ("loss/error", self.error),
            ("loss/bound", self.bound),
            ("loss/q0", self.loss_q0),
            ("loss/q1", self.loss_q1),
            ("loss/q2", self.loss_q2),
            ("loss/q3", self.loss_q3),
            ("loss/validation", self.validation),
            ("gradient/norm", self.grad_norm),
            ("gradient/loss_scale", self.loss_scale),
            ("lr", Some(self.lr)),
            ("speed/images_per_s", Some(self.images_per_s)),
            ("speed/waiting", Some(self.data_wait_fraction)),
        ];
        numbers.into_iter().filter_map(|(name, number)| Some((name, number?)))
    }
}

/// An open log.
#[derive(Debug)]
pub(crate) struct Log {
    path: PathBuf,
    file: File,
}

impl Log {
    /// Opens the log of a run at `step`; lines beyond it, of a future that was lost, are dropped.
    pub(crate) fn open(path: &Path, step: usize) -> Result<Self, TrainError> {
        let failed = |source| TrainError::File { path: path.to_path_buf(), source };
        let before = match fs::read(path) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
            Err(error) => return Err(failed(error)),
        };
        let valid =
            |line: &&str| serde_json::from_str::<LogLine>(line).is_ok_and(|line| line.step <= step);
        let kept: String = before.lines().filter(valid).flat_map(|line| [line, "\n"]).collect();
        inkdrop_data::output::write_atomic(path, |out| out.write_all(kept.as_bytes()))?;
        let file = OpenOptions::new().append(true).open(path).map_err(failed)?;
        Ok(Self { path: path.to_path_buf(), file })
    }

    /// Makes sure that all lines are on the disk.
    pub(crate) fn sync(&self) -> Result<(), TrainError> {
        self.file.sync_data().map_err(|source| TrainError::File { path: self.path.clone(), source })
    }

    /// Adds a line.
    pub(crate) fn write(&mut self, line: &LogLine) -> Result<(), TrainError> {
        let failed = |source| TrainError::File { path: self.path.clone(), source };
        let text = serde_json::to_string(line).map_err(|error| failed(error.into()))?;
        self.file.write_all(format!("{text}\n").as_bytes()).map_err(failed)
    }
}
