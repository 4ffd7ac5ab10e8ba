//! The folder of a run: what lies where, and which checkpoint is the last.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use inkdrop_checkpoint::Weights;

use crate::{EmaDecay, TrainError};

/// The run's config, the first file in its folder.
const CONFIG: &str = "config.toml";

/// The folder that one run writes to.
///
/// `config.toml`, `log.jsonl`, `events/`, `checkpoints/step-NNNNNNN.safetensors`,
/// `samples/step-NNNNNNN.png`, and `final.safetensors` at the end.
///
/// A folder serves one process at a time: `.lock` is locked while this value lives.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    _lock: File,
}

impl RunFolder {
    /// Makes the folder for a new run.
    ///
    /// # Errors
    /// It holds something already, or cannot be made.
    pub fn create(path: &Path) -> Result<Self, TrainError> {
        if occupied(path)? {
            return Err(TrainError::Occupied(path.to_path_buf()));
        }
        let file = |source| TrainError::File { path: path.to_path_buf(), source };
        fs::create_dir_all(path).map_err(file)?;
        let folder = Self { path: path.to_path_buf(), _lock: lock(path)? };
        // Once more under the lock: another run may have begun here in between.
        if occupied(path)? {
            return Err(TrainError::Occupied(path.to_path_buf()));
        }
        for part in [folder.checkpoints(), folder.samples()] {
            fs::create_dir_all(&part).map_err(|source| TrainError::File { path: part, source })?;
        }
        // A run that began with given weights saves them before its config makes it a run.
        for step in folder.steps() {
            let path = folder.checkpoint(step);
            fs::remove_file(&path).map_err(|source| TrainError::File { path, source })?;
        }
        Ok(folder)
    }

    /// Opens the folder of a run that is to go on.
    ///
    /// # Errors
    /// It holds no run.
    pub fn open(path: &Path) -> Result<Self, TrainError> {
        if !path.join(CONFIG).is_file() {
            return Err(TrainError::NothingToResume {
                folder: path.to_path_buf(),
                problem: format!("there is no {CONFIG} in it"),
            });
        }
        let folder = Self { path: path.to_path_buf(), _lock: lock(path)? };
        folder.sweep()?;
        Ok(folder)
    }

    /// Removes what a process that was killed while it wrote has left: hidden files beside those
    /// that they were to become.
    fn sweep(&self) -> Result<(), TrainError> {
        for folder in [self.path.clone(), self.checkpoints(), self.samples()] {
            for entry in folder.read_dir().into_iter().flatten().flatten() {
                let name = entry.file_name();
                let name = name.to_string_lossy();
                let half = [".config.toml.", ".log.jsonl.", ".step-", ".final"];
                if half.iter().any(|start| name.starts_with(start)) {
                    let path = entry.path();
                    fs::remove_file(&path).map_err(|source| TrainError::File { path, source })?;
                }
            }
        }
        Ok(())
    }

    /// The resolved config of the run.
    pub fn config(&self) -> PathBuf {
        self.path.join(CONFIG)
    }

    /// One JSON object per line: a [`LogLine`](crate::LogLine).
    pub fn log(&self) -> PathBuf {
        self.path.join("log.jsonl")
    }

    /// Where checkpoints lie.
    pub fn checkpoints(&self) -> PathBuf {
        self.path.join("checkpoints")
    }

    /// Where sample grids lie.
    pub fn samples(&self) -> PathBuf {
        self.path.join("samples")
    }

    /// Where event files for TensorBoard lie.
    pub fn events(&self) -> PathBuf {
        self.path.join("events")
    }

    /// The grid sampled after a step.
    pub fn sample(&self, step: usize) -> PathBuf {
        self.samples().join(format!("step-{step:07}.png"))
    }

    /// The weights that the first rule has averaged, at the end of the run.
    pub fn finished(&self) -> PathBuf {
        self.path.join("final.safetensors")
    }

    /// The weights that another rule than the first has averaged, at the end of the run.
    pub fn finished_average(&self, rule: EmaDecay) -> PathBuf {
        self.path.join(format!("final-{}.safetensors", rule.file_name()))
    }

    /// The newest checkpoint.
    pub fn latest(&self) -> Option<PathBuf> {
        self.steps().last().map(|&step| self.checkpoint(step))
    }

    /// Writes a checkpoint, then removes all but the newest `kept` and those of every
    /// `keep_every` steps.
    pub(crate) fn save(
        &self,
        state: &Weights,
        step: usize,
        kept: usize,
        keep_every: usize,
    ) -> Result<(), TrainError> {
        state.save(&self.checkpoint(step))?;
        let steps = self.steps();
        let forever = |step: usize| keep_every > 0 && step.is_multiple_of(keep_every);
        for &old in steps.iter().rev().skip(kept).filter(|&&old| !forever(old)) {
            let path = self.checkpoint(old);
            fs::remove_file(&path).map_err(|source| TrainError::File { path, source })?;
        }
        Ok(())
    }

    fn checkpoint(&self, step: usize) -> PathBuf {
        self.checkpoints().join(format!("step-{step:07}.safetensors"))
    }

    /// The steps that have a checkpoint, rising.
    fn steps(&self) -> Vec<usize> {
        let number =
            |name: &str| name.strip_prefix("step-")?.strip_suffix(".safetensors")?.parse().ok();
        let entries = self.checkpoints().read_dir().into_iter().flatten().flatten();
        let mut steps: Vec<usize> =
            entries.filter_map(|entry| number(entry.file_name().to_str()?)).collect();
        steps.sort_unstable();
        steps
    }
}

/// Keeps other processes out for as long as the file is open.
fn lock(folder: &Path) -> Result<File, TrainError> {
    let path = folder.join(".lock");
    let file = |source| TrainError::File { path: path.clone(), source };
    let lock = File::create(&path).map_err(file)?;
    match lock.try_lock() {
        Err(TryLockError::WouldBlock) => Err(TrainError::InUse(folder.to_path_buf())),
        // Where a file system knows no locks, nobody is kept out.
        Ok(()) | Err(TryLockError::Error(_)) => Ok(lock),
    }
}

/// Whether a folder holds any file but what a run that was killed at its very start leaves.
fn occupied(path: &Path) -> Result<bool, TrainError> {
    let entries = match path.read_dir() {
        Ok(entries) => entries.flatten(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(source) => return Err(TrainError::File { path: path.to_path_buf(), source }),
    };
    let begun = path.join(CONFIG).exists();
    let counts = |entry: fs::DirEntry| {
        let name = entry.file_name();
        let temporary = name.to_string_lossy().starts_with('.');
        let unborn = name == "checkpoints" && !begun;
        let empty = entry.path().read_dir().is_ok_and(|mut inside| inside.next().is_none());
        !temporary && !empty && !unborn
    };
    Ok(entries.into_iter().any(counts))
}
