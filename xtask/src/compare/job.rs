//! Job files: the JSON description of one measurement, read by inkdrop's and by PyTorch's programs.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::rows::Work;

/// Warm-up and number of repetitions of one process.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Warm-up repetitions, not timed.
    pub warm_up: usize,
    /// Minimum number of timed repetitions.
    pub least: usize,
    /// Minimum time of all timed repetitions, in seconds.
    pub seconds: f64,
}

impl Pace {
    /// No repetitions: only outputs are computed.
    pub const NONE: Self = Self { warm_up: 0, least: 0, seconds: 0.0 };
    /// Three warm-up repetitions, then at least five in at least 1.5 seconds.
    pub const USUAL: Self = Self { warm_up: 3, least: 5, seconds: 1.5 };

    /// `least` repetitions without warm-up.
    pub fn times(least: usize) -> Self {
        Self { least, ..Self::NONE }
    }
}

/// The folder and the common settings of all jobs.
#[derive(Debug)]
pub struct Jobs {
    /// Folder of weights, inputs, outputs and job files.
    pub folder: PathBuf,
    /// Weights of the built-in model.
    pub sprites: PathBuf,
    /// Threads of each operation.
    pub threads: usize,
}

impl Jobs {
    /// The fields of a job that both programs read.
    pub fn fields(&self, name: &str, work: Work, pace: Pace) -> Value {
        let Work { what, model, batch, steps } = work;
        let mut job = json!({
            "what": what, "model": model, "batch": batch, "steps": steps, "threads": self.threads,
            "warm_up": pace.warm_up, "least": pace.least, "seconds": pace.seconds,
            // A schedule table takes microseconds, too short for a single measurement.
            "inner": if what == "schedule" { 100 } else { 1 },
        });
        if what != "schedule" {
            job["weights"] = path(&self.weights(work));
            job["inputs"] = path(&self.file(&format!("{name}-inputs.safetensors")));
        }
        job
    }

    /// The weights of a job. Sampling uses trained weights if there are any.
    fn weights(&self, work: Work) -> PathBuf {
        match (work.what, work.model) {
            ("sampling", "sprites") => self.sprites.clone(),
            ("training", model) => self.file(&format!("{model}-start.safetensors")),
            (_, model) => self.file(&format!("{model}.safetensors")),
        }
    }

    /// The path of a file in the folder; `/` in the name becomes `-`.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name.replace('/', "-"))
    }

    /// Writes a job file and returns its path.
    pub fn write(&self, name: &str, job: &Value) -> Result<PathBuf> {
        let file = self.file(&format!("{name}.json"));
        fs::write(&file, job.to_string())
            .with_context(|| format!("cannot write {}", file.display()))?;
        Ok(file)
    }
}

/// A path as a JSON string.
pub fn path(path: &Path) -> Value {
    Value::from(path.display().to_string())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::compare::rows::{BenchRow, Task};

    #[test]
    fn rows_of_one_network_share_its_weights_and_have_inputs_of_their_own() {
        let jobs = Jobs { folder: "f".into(), sprites: "s".into(), threads: 2 };
        let fields = |name: &str| {
            let row = BenchRow::ALL.into_iter().find(|row| row.name == name).unwrap();
            let Task::Job(work, _) = row.task else { panic!("{name} is no job") };
            jobs.fields(name, work, Pace::USUAL)
        };
        let (one, many) = (fields("forward/context/1"), fields("forward/context/16"));
        assert_eq!(one["weights"], "f/sprites.safetensors");
        assert_eq!(one["weights"], many["weights"]);
        assert_ne!(one["inputs"], many["inputs"]);
        assert_eq!(fields("sampling/context/1")["weights"], "s");
        let tables = fields("schedules/linear_1000");
        assert!(tables["weights"].is_null() && tables["inner"] == 100);
    }
}
