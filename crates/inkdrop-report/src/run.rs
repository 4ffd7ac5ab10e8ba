//! What lies in the folder of a training run.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::{Log, ReportError, png};

/// The most sample grids that a page holds.
pub const SAMPLES: usize = 40;

/// A training run as its folder shows it, at any moment.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Run {
    /// The folder's name.
    pub name: String,
    /// `config.toml`.
    pub config: String,
    /// `log.jsonl`; empty where there is none yet.
    pub log: Log,
    /// `samples/step-NNNNNNN.png`, steps rising; at most [`SAMPLES`], evenly spread, the last included.
    pub samples: Vec<Sample>,
    /// How many whole sample grids there are.
    pub samples_there: usize,
    /// Whether there is a `final.safetensors`, and no later step is to come.
    pub finished: bool,
    /// `evaluations/*.json` by name, as `inkdrop eval … --json` prints them.
    pub evaluations: Vec<(String, Value)>,
}

/// A sample grid.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// The step after which it was drawn.
    pub step: u64,
    /// A whole PNG file.
    pub png: Vec<u8>,
}

impl Run {
    /// Reads a run that is finished, stopped, or still going.
    ///
    /// # Errors
    /// There is no `config.toml` in the folder, or a file that is there cannot be read. Broken lines,
    /// pictures that are not whole and evaluations that are no JSON are left out.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self, ReportError> {
        let folder = folder.as_ref();
        let config = text(&folder.join("config.toml"))?.ok_or_else(|| ReportError::NoRun {
            path: folder.to_path_buf(),
            problem: if folder.is_dir() {
                "there is no config.toml in it"
            } else {
                "there is no such folder"
            }
            .to_string(),
        })?;
        let real = fs::canonicalize(folder).unwrap_or_else(|_| folder.to_path_buf());
        let log = text(&folder.join("log.jsonl"))?.unwrap_or_default();
        let grids = grids(&folder.join("samples"));
        let log = Log::parse(&log);
        // A run that was resumed to more steps still has the model of before.
        let wanted = steps(&config);
        let going_on = wanted.zip(log.last_step).is_some_and(|(wanted, done)| done < wanted);
        Ok(Self {
            name: real.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            config,
            log,
            samples_there: grids.len(),
            samples: picked(&grids)?,
            finished: folder.join("final.safetensors").is_file() && !going_on,
            evaluations: evaluations(&folder.join("evaluations"))?,
        })
    }
}

/// How many steps a run is to take.
fn steps(config: &str) -> Option<u64> {
    let config: toml::Table = config.parse().ok()?;
    u64::try_from(config.get("train")?.get("steps")?.as_integer()?).ok()
}

/// A file's text, if there is the file; bytes that are no text are shown as such.
fn text(path: &Path) -> Result<Option<String>, ReportError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(_) if !path.exists() => Ok(None),
        Err(error) => Err(ReportError::read(path, error)),
    }
}

/// Paths of a folder with such an ending, by name; none where there is no folder.
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

/// Steps and paths of the whole sample grids, steps rising.
fn grids(folder: &Path) -> Vec<(u64, PathBuf)> {
    let step =
        |(name, path): (String, PathBuf)| Some((name.strip_prefix("step-")?.parse().ok()?, path));
    let mut grids: Vec<(u64, PathBuf)> =
        files(folder, ".png").into_iter().filter_map(step).collect();
    grids.retain(|(_, path)| fs::read(path).is_ok_and(|bytes| png::size(&bytes).is_some()));
    grids.sort();
    grids
}

/// Some of them, the last included.
fn picked(grids: &[(u64, PathBuf)]) -> Result<Vec<Sample>, ReportError> {
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
