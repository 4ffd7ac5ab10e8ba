//! What is handed to the programs: the JSON of a job, and the files that it names.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::rows::Work;

/// How long one process measures.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Repetitions before any is timed.
    pub warm_up: usize,
    /// How many are timed at least.
    pub least: usize,
    /// For how many seconds they go on.
    pub seconds: f64,
}

impl Pace {
    /// Nothing is timed.
    pub const NONE: Self = Self { warm_up: 0, least: 0, seconds: 0.0 };
    /// A few to warm up, then at least five, for a second and a half.
    pub const USUAL: Self = Self { warm_up: 3, least: 5, seconds: 1.5 };

    /// So many, from cold.
    pub fn times(least: usize) -> Self {
        Self { least, ..Self::NONE }
    }
}

/// Where the files of all jobs are, and what jobs share.
#[derive(Debug)]
pub struct Jobs {
    /// For weights, inputs, outputs and the jobs themselves.
    pub folder: PathBuf,
    /// Weights that come with inkdrop.
    pub sprites: PathBuf,
    /// Threads of each operation.
    pub threads: usize,
}

impl Jobs {
    /// The fields of a job that both sides know.
    pub fn fields(&self, name: &str, work: Work, pace: Pace) -> Value {
        let Work { what, model, batch, steps } = work;
        let mut job = json!({
            "what": what, "model": model, "batch": batch, "steps": steps, "threads": self.threads,
            "warm_up": pace.warm_up, "least": pace.least, "seconds": pace.seconds,
            // Tables are made in microseconds, too short for a clock.
            "inner": if what == "schedule" { 100 } else { 1 },
        });
        if what != "schedule" {
            job["weights"] = path(&self.weights(work));
            job["inputs"] = path(&self.file(&format!("{name}-inputs.safetensors")));
        }
        job
    }

    /// The weights of a job: images are made with those that were trained.
    fn weights(&self, work: Work) -> PathBuf {
        match (work.what, work.model) {
            ("sampling", "sprites") => self.sprites.clone(),
            ("training", model) => self.file(&format!("{model}-start.safetensors")),
            (_, model) => self.file(&format!("{model}.safetensors")),
        }
    }

    /// A file of the folder, for a name that may be a row's.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name.replace('/', "-"))
    }

    /// Writes a job; returns where.
    pub fn write(&self, name: &str, job: &Value) -> Result<PathBuf> {
        let file = self.file(&format!("{name}.json"));
        fs::write(&file, job.to_string())
            .with_context(|| format!("cannot write {}", file.display()))?;
        Ok(file)
    }
}

/// A path as JSON has it.
pub fn path(path: &Path) -> Value {
    Value::from(path.display().to_string())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::compare::rows::{Row, Task};

    #[test]
    fn rows_of_one_network_share_its_weights_and_have_inputs_of_their_own() {
        let jobs = Jobs { folder: "f".into(), sprites: "s".into(), threads: 2 };
        let fields = |name: &str| {
            let row = Row::ALL.into_iter().find(|row| row.name == name).unwrap();
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
