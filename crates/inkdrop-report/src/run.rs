//! Reads the folder of a training run.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::{Log, ReportError, png};

/// Maximum number of sample grids on a page.
pub const SAMPLES: usize = 40;

/// The contents of a training run's folder.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Run {
    /// The folder's name.
    pub name: String,
    /// `config.toml`.
    pub config: String,
    /// Planned number of steps, `train.steps` of the config.
    pub planned_steps: Option<u64>,
    /// `log.jsonl`; empty if it does not exist.
    pub log: Log,
    /// `samples/step-NNNNNNN.png`, steps rising; at most [`SAMPLES`], evenly spaced, with the last one.
    pub samples: Vec<Sample>,
    /// Number of complete sample grids in the folder.
    pub sample_count: usize,
    /// True if `final.safetensors` exists and all planned steps are done.
    pub finished: bool,
    /// `evaluations/*.json` by name: output of `inkdrop eval … --json`.
    pub evaluations: Vec<(String, Value)>,
}

/// A sample grid.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// The step after which it was sampled.
    pub step: u64,
    /// Contents of the PNG file.
    pub png: Vec<u8>,
}

impl Run {
    /// Reads a run that is finished, stopped or in progress.
    ///
    /// Invalid lines of the log, incomplete images and evaluations that are not JSON are skipped.
    ///
    /// # Errors
    /// The folder has no `config.toml`, or an existing file cannot be read.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self, ReportError> {
        let folder = folder.as_ref();
        let grids = grids(&folder.join("samples"));
        Ok(Self {
            sample_count: grids.len(),
            samples: evenly_spaced(&grids)?,
            evaluations: evaluations(&folder.join("evaluations"))?,
            ..Self::open_metrics(folder)?
        })
    }

    /// Reads config and log alone, to watch a run: without samples and evaluations.
    ///
    /// # Errors
    /// As for [`Run::open`].
    pub fn open_metrics(folder: impl AsRef<Path>) -> Result<Self, ReportError> {
        let folder = folder.as_ref();
        let config = text(&folder.join("config.toml"))?.ok_or_else(|| ReportError::NoRun {
            path: folder.to_path_buf(),
            problem: if folder.is_dir() {
                "config.toml is missing"
            } else {
                "the folder does not exist"
            }
            .to_string(),
        })?;
        let log = text(&folder.join("log.jsonl"))?.unwrap_or_default();
        let log = Log::parse(&log);
        // A run that was extended to more steps still has the earlier final model.
        let planned_steps = steps(&config);
        let left = planned_steps.zip(log.last_step).is_some_and(|(planned, done)| done < planned);
        Ok(Self {
            name: Self::name_of(folder),
            config,
            planned_steps,
            log,
            finished: folder.join("final.safetensors").is_file() && !left,
            ..Self::default()
        })
    }

    /// The name of a run's folder.
    pub fn name_of(folder: &Path) -> String {
        let real = fs::canonicalize(folder).unwrap_or_else(|_| folder.to_path_buf());
        real.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }
}

/// Planned number of steps.
fn steps(config: &str) -> Option<u64> {
    let config: toml::Table = config.parse().ok()?;
    u64::try_from(config.get("train")?.get("steps")?.as_integer()?).ok()
}

/// The text of a file, with invalid UTF-8 replaced; `None` if the file does not exist.
fn text(path: &Path) -> Result<Option<String>, ReportError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(_) if !path.exists() => Ok(None),
        Err(error) => Err(ReportError::read(path, error)),
    }
}

/// The files of a folder with this extension, sorted by name; empty if the folder does not exist.
fn files(folder: &Path, ending: &str) -> Vec<(String, PathBuf)> {
    let entries = folder.read_dir().into_iter().flatten().flatten().map(|entry| entry.path());
    let named = |path: PathBuf| {
        let name = path.file_name()?.to_str()?.strip_suffix(ending)?.to_string();
        (!name.starts_with('.')).then_some((name, path))
    };
    let mut files: Vec<_> = entries.filter_map(named).collect();
    files.sort();
    files
}

/// Steps and paths of the complete sample grids, steps rising.
fn grids(folder: &Path) -> Vec<(u64, PathBuf)> {
    let mut grids = grid_files(folder);
    grids.retain(|(_, path)| fs::read(path).is_ok_and(|bytes| png::size(&bytes).is_some()));
    grids
}

/// Steps and paths of the files of sample grids, steps rising; their contents are not read.
pub(crate) fn grid_files(folder: &Path) -> Vec<(u64, PathBuf)> {
    let step =
        |(name, path): (String, PathBuf)| Some((name.strip_prefix("step-")?.parse().ok()?, path));
    let mut grids: Vec<(u64, PathBuf)> =
        files(folder, ".png").into_iter().filter_map(step).collect();
    grids.sort();
    grids
}

/// At most [`SAMPLES`] grids, evenly spaced, with the last one.
fn evenly_spaced(grids: &[(u64, PathBuf)]) -> Result<Vec<Sample>, ReportError> {
    let count = grids.len().min(SAMPLES);
    let at = |index: usize| if count < 2 { index } else { index * (grids.len() - 1) / (count - 1) };
    let read = |(step, path): &(u64, PathBuf)| {
        let png = fs::read(path).map_err(|error| ReportError::read(path, error))?;
        Ok(Sample { step: *step, png })
    };
    (0..count).map(|index| read(&grids[at(index)])).collect()
}

fn evaluations(folder: &Path) -> Result<Vec<(String, Value)>, ReportError> {
    let mut all = Vec::new();
    for (name, path) in files(folder, ".json") {
        let text = text(&path)?.unwrap_or_default();
        if let Ok(value) = serde_json::from_str(&text) {
            all.push((name, value));
        }
    }
    Ok(all)
}
