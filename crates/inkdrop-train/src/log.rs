//! log.jsonl: how the run went, a line at a time.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::TrainError;

/// One line of the log: means since the line before.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Line {
    /// Steps that were done.
    pub step: usize,
    /// Mean loss.
    pub loss: f64,
    /// Learning rate of the last step.
    pub lr: f64,
    /// Images per second.
    pub images_per_s: f64,
    /// Seconds since this start of the run.
    pub seconds: f64,
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
            |line: &&str| serde_json::from_str::<Line>(line).is_ok_and(|line| line.step <= step);
        let kept: String = before.lines().filter(valid).flat_map(|line| [line, "\n"]).collect();
        inkdrop_data::output::write_atomic(path, |out| out.write_all(kept.as_bytes()))?;
        let file = OpenOptions::new().append(true).open(path).map_err(failed)?;
        Ok(Self { path: path.to_path_buf(), file })
    }

    /// Adds a line.
    pub(crate) fn write(&mut self, line: &Line) -> Result<(), TrainError> {
        let failed = |source| TrainError::File { path: self.path.clone(), source };
        let text = serde_json::to_string(line).map_err(|error| failed(error.into()))?;
        self.file.write_all(format!("{text}\n").as_bytes()).map_err(failed)
    }
}
