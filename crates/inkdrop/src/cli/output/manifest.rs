//! Manifests: the request of a sampling run, as JSON beside its images.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context, Result, bail};
use inkdrop::data::output::write_atomic;
use inkdrop::process::DiffusionConfig;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::output::job::{SamplingJob, Shard};
use inkdrop::config::{Difference, diff};

/// The request of the images in the same directory.
#[derive(Debug, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of the program that started the run; not compared.
    inkdrop: String,
    /// Number of images of all shards.
    count: usize,
    /// The shard of the run.
    shard: Option<Shard>,
    /// See [`SamplingJob::request`].
    request: Value,
}

impl Manifest {
    /// The manifest of a job.
    pub fn of(job: &SamplingJob) -> Self {
        let inkdrop = env!("CARGO_PKG_VERSION").to_string();
        Self { inkdrop, count: job.count, shard: job.shard, request: job.request.clone() }
    }

    /// Reads a manifest; `None` if there is no file.
    pub fn read(path: &Path) -> Result<Option<Self>> {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                return Err(error).with_context(|| format!("cannot read {}", path.display()));
            }
        };
        let mut manifest: Self = serde_json::from_str(&text).with_context(|| {
            format!(
                "{} is not a manifest of samples; --restart removes the samples, another --out keeps them",
                path.display()
            )
        })?;
        migrate(&mut manifest.request);
        Ok(Some(manifest))
    }

    /// Writes the file atomically.
    pub fn write(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self)? + "\n";
        Ok(write_atomic(path, |file| file.write_all(text.as_bytes()))?)
    }

    /// Checks that a job continues these samples, with as many or more of them.
    pub fn check(&self, job: &SamplingJob, place: &Path) -> Result<()> {
        let difference = match difference(&self.request, &job.request) {
            None if self.count <= job.count => return Ok(()),
            None => format!(
                "count is {} there, {} now (expected the same or more)",
                self.count, job.count
            ),
            Some(difference) => difference,
        };
        bail!(
            "{} is of another request: {difference}; give another --out, or --restart to remove its samples",
            place.display()
        )
    }

    /// Number of images of all shards.
    pub fn count(&self) -> usize {
        self.count
    }
}

/// Renames the keys of manifests of earlier versions.
fn migrate(request: &mut Value) {
    if let Some(condition) = request.as_object_mut().and_then(|fields| fields.remove("asked")) {
        request["condition"] = condition;
    }
    let process = request.pointer_mut("/model/process");
    let Some(process) = process else { return };
    if let Ok(config) = DiffusionConfig::deserialize(&*process) {
        *process = serde_json::to_value(config).unwrap_or_default();
    }
}

/// The first field that differs, with both values.
fn difference(there: &Value, here: &Value) -> Option<String> {
    let first = diff(there, here).into_iter().next();
    first.map(|Difference { key, there, here }| {
        format!("{key} is {} there, {} now", shown(&there), shown(&here))
    })
}

/// A value, abbreviated.
fn shown(value: &Value) -> String {
    const LETTERS: usize = 60;
    let text = match value {
        Value::Null => return "not given".to_string(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    match text.char_indices().nth(LETTERS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_first_difference_is_named_with_both_values() {
        let check = |there: Value, now: Value, expected: Option<&str>| {
            assert_eq!(difference(&there, &now).as_deref(), expected);
        };
        let base = json!({"seed": 1, "model": {"weights": "sha256:ab", "network": [1, 2]}});
        check(base.clone(), base.clone(), None);
        check(json!({"a": null, "b": 1}), json!({"b": 1}), None);
        check(json!({"seed": 1}), json!({"seed": 2}), Some("seed is 1 there, 2 now"));
        check(json!({}), json!({"eta": 0.5}), Some("eta is not given there, 0.5 now"));
        let other = json!({"seed": 2, "model": {"weights": "sha256:cd", "network": [1, 2]}});
        check(base, other, Some("model.weights is sha256:ab there, sha256:cd now"));
        check(json!({"x": {"y": 1}}), json!({"x": "z"}), Some("x is {\"y\":1} there, z now"));
    }

    #[test]
    fn keys_of_earlier_versions_are_read() {
        let process = |prediction: (&str, &str)| {
            json!({
                "schedule": {"name": "cosine", "steps": 10}, "time": "index",
                prediction.0: prediction.1, "variance": "fixed-small",
            })
        };
        let mut old = json!({"asked": {"class": 3}, "model": {"process": process(("mean", "v"))}});
        let now = process(("prediction", "velocity"));
        migrate(&mut old);
        assert_eq!(old, json!({"condition": {"class": 3}, "model": {"process": now}}));
    }
}
