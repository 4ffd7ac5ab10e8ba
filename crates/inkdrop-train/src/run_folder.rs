//! The run directory: config, log, checkpointing and samples on disk.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use inkdrop_checkpoint::StateDict;

use crate::{EmaDecay, LogLine, TrainError};

/// File name of the run's config. It is written first and marks the folder as a run.
const CONFIG: &str = "config.toml";

/// When checkpoints are saved, and which ones are kept.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CheckpointPolicy {
    /// Interval in steps.
    pub every: usize,
    /// Number of newest checkpoints to keep.
    pub newest: usize,
    /// Interval of checkpoints that are never deleted; 0 for none.
    pub keep_every: usize,
}

impl CheckpointPolicy {
    /// True if a checkpoint follows a step.
    ///
    /// - last: the last step of the run
    pub(crate) fn is_due(self, step: usize, last: usize) -> bool {
        step.is_multiple_of(self.every) || step >= last
    }

    /// The steps whose checkpoints are to be deleted after that of a step was saved. Later ones do not count: they are
    /// damaged, or of steps that are being taken again, and the run replaces them.
    ///
    /// - steps: of all checkpoints, ascending
    fn expired(self, steps: &[usize], saved: usize) -> impl Iterator<Item = usize> {
        let milestone =
            move |step: usize| self.keep_every > 0 && step.is_multiple_of(self.keep_every);
        let done = steps.iter().rev().copied().filter(move |&step| step <= saved);
        done.skip(self.newest).filter(move |&step| !milestone(step))
    }
}

/// The folder of one training run.
///
/// `config.toml`, `log.jsonl`, `events/`, `checkpoints/step-NNNNNNN.safetensors`,
/// `samples/step-NNNNNNN.png`, and `final.safetensors` at the end.
///
/// One process writes to a folder at a time: `.lock` is locked while this value lives.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    /// `None` in a process that only reads.
    _lock: Option<File>,
}

impl RunFolder {
    /// Creates the folder of a new run.
    ///
    /// # Errors
    /// The folder is not empty, or cannot be created.
    pub fn create(path: &Path) -> Result<Self, TrainError> {
        if occupied(path)? {
            return Err(TrainError::Occupied(path.to_path_buf()));
        }
        let file = |source| TrainError::File { path: path.to_path_buf(), source };
        fs::create_dir_all(path).map_err(file)?;
        let folder = Self { path: path.to_path_buf(), _lock: Some(lock(path)?) };
        // Checked again under the lock, since another run may have begun here meanwhile.
        if occupied(path)? {
            return Err(TrainError::Occupied(path.to_path_buf()));
        }
        for part in [folder.checkpoints(), folder.samples()] {
            fs::create_dir_all(&part).map_err(|source| TrainError::File { path: part, source })?;
        }
        // A run with initial weights writes its first checkpoint before its config: a process
        // killed in between leaves a checkpoint of no run.
        for step in folder.steps() {
            let path = folder.checkpoint(step);
            fs::remove_file(&path).map_err(|source| TrainError::File { path, source })?;
        }
        Ok(folder)
    }

    /// Opens the folder of a run to resume it.
    ///
    /// # Errors
    /// The folder holds no run, or another process uses it.
    pub fn open(path: &Path) -> Result<Self, TrainError> {
        let run = Self::read(path)?;
        let folder = Self { _lock: Some(lock(path)?), ..run };
        folder.sweep()?;
        Ok(folder)
    }

    /// The folder of a run, without a lock: to read it.
    ///
    /// # Errors
    /// The folder holds no run.
    pub fn read(path: &Path) -> Result<Self, TrainError> {
        match path.join(CONFIG).is_file() {
            true => Ok(Self::unlocked(path)),
            false => Err(TrainError::NothingToResume {
                folder: path.to_path_buf(),
                problem: format!("it has no {CONFIG}"),
            }),
        }
    }

    /// The folder that another process of the run writes to, whether it exists yet or not.
    pub fn unlocked(path: &Path) -> Self {
        Self { path: path.to_path_buf(), _lock: None }
    }

    /// Deletes the temporary files of a process that was killed while writing.
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

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Path of the resolved config.
    pub fn config(&self) -> PathBuf {
        self.path.join(CONFIG)
    }

    /// Path of the log: one JSON object per line, a [`LogLine`].
    pub fn log(&self) -> PathBuf {
        self.path.join("log.jsonl")
    }

    /// Folder of the checkpoints.
    pub fn checkpoints(&self) -> PathBuf {
        self.path.join("checkpoints")
    }

    /// Folder of the sample grids.
    pub fn samples(&self) -> PathBuf {
        self.path.join("samples")
    }

    /// Folder of the event files for TensorBoard.
    pub fn events(&self) -> PathBuf {
        self.path.join("events")
    }

    /// Path of the sample grid of a step.
    pub fn sample(&self, step: usize) -> PathBuf {
        self.samples().join(format!("step-{step:07}.png"))
    }

    /// Path of the final EMA weights with the first decay.
    pub fn finished(&self) -> PathBuf {
        self.path.join("final.safetensors")
    }

    /// Path of the final weights themselves, without averaging.
    pub fn finished_raw(&self) -> PathBuf {
        self.path.join("final-raw.safetensors")
    }

    /// Path of the final EMA weights with a further decay.
    pub fn finished_average(&self, decay: EmaDecay) -> PathBuf {
        self.path.join(format!("final-{}.safetensors", decay.file_name()))
    }

    /// Path of the newest checkpoint, if there is one.
    pub fn latest(&self) -> Option<PathBuf> {
        self.checkpoints_newest_first().next()
    }

    /// Paths of all checkpoints, the newest first.
    pub fn checkpoints_newest_first(&self) -> impl Iterator<Item = PathBuf> {
        self.steps().into_iter().rev().map(|step| self.checkpoint(step))
    }

    /// Writes a checkpoint, then deletes the expired ones.
    pub(crate) fn save(
        &self,
        state: &StateDict,
        step: usize,
        policy: CheckpointPolicy,
    ) -> Result<(), TrainError> {
        state.save(&self.checkpoint(step))?;
        for old in policy.expired(&self.steps(), step) {
            let path = self.checkpoint(old);
            fs::remove_file(&path).map_err(|source| TrainError::File { path, source })?;
        }
        Ok(())
    }

    /// Path of the checkpoint of a step.
    pub fn checkpoint(&self, step: usize) -> PathBuf {
        self.checkpoints().join(format!("step-{step:07}.safetensors"))
    }

    /// The steps that have a checkpoint, ascending.
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

/// Locks the folder for as long as the returned file is open.
fn lock(folder: &Path) -> Result<File, TrainError> {
    let path = folder.join(".lock");
    let file = |source| TrainError::File { path: path.clone(), source };
    let lock = File::create(&path).map_err(file)?;
    // A program that watches the run holds the lock for an instant to see whether it is in progress.
    for _ in 0..10 {
        match lock.try_lock() {
            Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(20)),
            // Some file systems have no locks; training works there without one.
            Ok(()) | Err(TryLockError::Error(_)) => return Ok(lock),
        }
    }
    Err(TrainError::InUse(folder.to_path_buf()))
}

/// True if a folder holds files other than those of a run that was killed before its config was
/// written.
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

/// The log of a run, open for appending.
#[derive(Debug)]
pub(crate) struct Log {
    path: PathBuf,
    file: File,
}

impl Log {
    /// Opens the log of a run and returns the lines up to `step`. Later lines belong to steps that
    /// a resumed run takes again, and are deleted.
    pub(crate) fn open(path: &Path, step: usize) -> Result<(Self, Vec<LogLine>), TrainError> {
        let failed = |source| TrainError::File { path: path.to_path_buf(), source };
        let before = match fs::read(path) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
            Err(error) => return Err(failed(error)),
        };
        let (mut kept, mut lines) = (String::new(), Vec::new());
        for text in before.lines() {
            if let Some(line) = parse(text).filter(|line| line.step <= step) {
                kept += &format!("{text}\n");
                lines.push(line);
            }
        }
        inkdrop_data::output::write_atomic(path, |out| out.write_all(kept.as_bytes()))?;
        let file = OpenOptions::new().append(true).open(path).map_err(failed)?;
        Ok((Self { path: path.to_path_buf(), file }, lines))
    }

    /// Flushes all lines to the disk.
    pub(crate) fn sync(&self) -> Result<(), TrainError> {
        self.file.sync_data().map_err(|source| TrainError::File { path: self.path.clone(), source })
    }

    /// Appends a line.
    pub(crate) fn write(&mut self, line: &LogLine) -> Result<(), TrainError> {
        let failed = |source| TrainError::File { path: self.path.clone(), source };
        let text = serde_json::to_string(line).map_err(|error| failed(error.into()))?;
        self.file.write_all(format!("{text}\n").as_bytes()).map_err(failed)
    }
}

fn parse(text: &str) -> Option<LogLine> {
    serde_json::from_str(text).ok()
}

#[cfg(test)]
mod tests {
    use super::CheckpointPolicy;

    #[test]
    fn later_checkpoints_do_not_displace_the_one_that_was_saved() {
        let expired = |newest, keep_every, steps: &[usize], saved| -> Vec<usize> {
            CheckpointPolicy { every: 100, newest, keep_every }.expired(steps, saved).collect()
        };
        assert_eq!(expired(2, 0, &[100, 200, 300, 400], 400), [200, 100]);
        assert_eq!(expired(1, 0, &[800, 1000, 1200, 1500], 1200), [1000, 800]);
        assert_eq!(expired(1, 1000, &[800, 1000, 1200, 1500], 1200), [800]);
    }
}
