//! Runs in progress: requests to the trainer, and the colours of its samples.

use std::fmt;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde_json::{Value, json};

use crate::ReportError;
use crate::run::grid_files;

/// A request to the trainer of a run, which obeys between two steps. It is a file in the run's folder:
/// `.request-stop`, `.request-checkpoint` or `.request-sample`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunRequest {
    /// Save a checkpoint and stop, as with Ctrl-C.
    Stop,
    /// Save a checkpoint now.
    Checkpoint,
    /// Sample a grid now.
    Sample,
}

impl RunRequest {
    /// All requests.
    pub const ALL: [Self; 3] = [Self::Stop, Self::Checkpoint, Self::Sample];

    fn path(self, folder: &Path) -> PathBuf {
        folder.join(format!(".request-{self}"))
    }

    /// Asks the trainer of a run.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn send(self, folder: &Path) -> Result<(), ReportError> {
        let path = self.path(folder);
        File::create(&path).map(|_| ()).map_err(|source| ReportError::write(&path, source))
    }

    /// True if the request was sent; it is removed. Costs one system call if it was not.
    pub fn take(self, folder: &Path) -> bool {
        fs::remove_file(self.path(folder)).is_ok()
    }
}

impl fmt::Display for RunRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stop => "stop",
            Self::Checkpoint => "checkpoint",
            Self::Sample => "sample",
        })
    }
}

impl FromStr for RunRequest {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|request| request.to_string() == text);
        known.ok_or_else(|| format!("`{text}`: expected stop, checkpoint or sample"))
    }
}

/// True if a process trains in the folder now.
pub fn in_progress(folder: &Path) -> bool {
    let lock = File::open(folder.join(".lock"));
    // The lock is released when the file is closed, at once.
    lock.is_ok_and(|lock| matches!(lock.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

/// The steps with a sample grid, rising. Files are listed, not read: a trainer writes them atomically.
pub fn sample_steps(folder: &Path) -> Vec<u64> {
    grid_files(&folder.join("samples")).into_iter().map(|(step, _)| step).collect()
}

/// Path of the sample grid of a step.
pub fn sample_path(folder: &Path, step: u64) -> PathBuf {
    folder.join("samples").join(format!("step-{step:07}.png"))
}

/// The colours of samples beside those of the data: a colour drift, which the loss does not show.
#[derive(Debug, Clone, PartialEq)]
pub struct SampleColours {
    /// The step after which they were sampled.
    pub step: u64,
    /// Mean of each channel of the samples, 0 to 255.
    pub mean: Vec<f64>,
    /// Mean of each channel of the data.
    pub data_mean: Vec<f64>,
    /// Standard deviation of each channel of the data.
    pub data_std: Vec<f64>,
}

/// Drift, in standard deviations of the data, that is worth a look.
const DRIFT: f64 = 0.25;

impl SampleColours {
    fn path(folder: &Path, step: u64) -> PathBuf {
        sample_path(folder, step).with_extension("json")
    }

    /// The largest difference of a channel's mean from the data's, in standard deviations of the data.
    pub fn drift(&self) -> f64 {
        let channels = self.mean.iter().zip(&self.data_mean).zip(&self.data_std);
        channels.map(|((mean, data), std)| (mean - data).abs() / std.max(1.0)).fold(0.0, f64::max)
    }

    /// True if the drift is worth a look.
    pub fn drifts(&self) -> bool {
        self.drift() > DRIFT
    }

    /// Writes them beside the sample grid of their step.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn write(&self, folder: &Path) -> Result<(), ReportError> {
        let path = Self::path(folder, self.step);
        let value =
            json!({ "mean": self.mean, "data_mean": self.data_mean, "data_std": self.data_std });
        fs::write(&path, value.to_string()).map_err(|source| ReportError::write(&path, source))
    }

    fn read(folder: &Path, step: u64) -> Option<Self> {
        let value: Value =
            serde_json::from_slice(&fs::read(Self::path(folder, step)).ok()?).ok()?;
        let numbers = |key: &str| {
            value.get(key)?.as_array()?.iter().map(Value::as_f64).collect::<Option<Vec<_>>>()
        };
        let (mean, data_mean, data_std) =
            (numbers("mean")?, numbers("data_mean")?, numbers("data_std")?);
        Some(Self { step, mean, data_mean, data_std })
    }
}

/// The colours of all sample grids of a run, steps rising.
pub fn sample_colours(folder: &Path) -> Vec<SampleColours> {
    let steps = sample_steps(folder).into_iter();
    steps.filter_map(|step| SampleColours::read(folder, step)).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_request_is_taken_once() {
        let folder = tempfile::tempdir().unwrap();
        for request in RunRequest::ALL {
            assert!(!request.take(folder.path()));
            request.send(folder.path()).unwrap();
            assert_eq!(request.to_string().parse(), Ok(request));
            assert!(request.take(folder.path()));
            assert!(!request.take(folder.path()));
        }
        assert_eq!(
            "go".parse::<RunRequest>(),
            Err("`go`: expected stop, checkpoint or sample".into())
        );
        assert!(RunRequest::Stop.send(&folder.path().join("missing")).is_err());
    }

    #[test]
    fn a_run_is_in_progress_while_its_lock_is_held() {
        let folder = tempfile::tempdir().unwrap();
        assert!(!in_progress(folder.path()), "no lock file");
        let lock = File::create(folder.path().join(".lock")).unwrap();
        assert!(!in_progress(folder.path()), "not locked");
        lock.lock().unwrap();
        assert!(in_progress(folder.path()));
        drop(lock);
        assert!(!in_progress(folder.path()));
    }

    #[test]
    fn drift_is_in_standard_deviations_of_the_data() {
        let colours = |mean: f64| SampleColours {
            step: 5,
            mean: vec![mean, 100.0],
            data_mean: vec![90.0, 100.0],
            data_std: vec![40.0, 10.0],
        };
        assert_eq!(colours(98.0).drift(), 0.2);
        assert!(!colours(98.0).drifts() && colours(79.0).drifts());
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("samples")).unwrap();
        colours(79.0).write(folder.path()).unwrap();
        assert_eq!(SampleColours::read(folder.path(), 5), Some(colours(79.0)));
        assert_eq!(sample_colours(folder.path()), [], "there is no grid of this step");
    }
}
