//! One golden case: its tensors and what its metadata says.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use inkdrop_checkpoint::StateDict;
use inkdrop_torch::tch::Tensor;
use serde::de::DeserializeOwned;

use crate::report::{Distance, Row, Status, Tolerance};

/// A case that was read.
#[derive(Debug)]
pub struct Case {
    /// The file's name without ending.
    pub name: String,
    /// What is compared: `unet`, `layer`, `schedule`, …
    pub kind: String,
    /// Whose numbers they are.
    pub family: String,
    /// The tensors.
    pub weights: StateDict,
    /// Where the file lies.
    pub(crate) folder: PathBuf,
}

impl Case {
    /// Reads a case.
    ///
    /// # Errors
    /// The file is no safetensors file, or names no kind.
    pub fn open(path: &Path) -> Result<Self> {
        let weights = StateDict::open(path)?;
        let text = |key: &str| weights.metadata_text(key).map(str::to_string);
        let kind = text("kind").with_context(|| {
            format!("{} is no golden case: its metadata has no `kind`", path.display())
        })?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder.to_path_buf(),
            _ => PathBuf::from("."),
        };
        Ok(Self { name, kind, family: text("family").unwrap_or_default(), weights, folder })
    }

    /// The config in the original's argument names.
    pub(crate) fn config<T: DeserializeOwned>(&self) -> Result<T> {
        let config = self.weights.metadata_text("config");
        let config =
            config.with_context(|| format!("{}: the metadata has no `config`", self.name))?;
        // Python writes infinity so; JSON has no word for it.
        let config = config.replace(": -Infinity", ": -1.7976931348623157e308");
        serde_json::from_str(&config).with_context(|| format!("{}: `config`", self.name))
    }

    /// The tensor of this name.
    pub(crate) fn tensor(&self, key: &str) -> Result<&Tensor> {
        self.weights.get(key).with_context(|| format!("{}: there is no tensor `{key}`", self.name))
    }

    pub(crate) fn row(&self, what: impl Into<String>, status: Status) -> Row {
        Row { case: self.name.clone(), what: what.into(), status }
    }

    /// Compares one result with the case's tensor of this name.
    pub(crate) fn compare(&self, key: &str, ours: &Tensor, tolerance: Tolerance) -> Result<Row> {
        let distance = Distance::between(ours, self.tensor(key)?, tolerance)
            .with_context(|| format!("{}: {key}", self.name))?;
        Ok(self.row(key, Status::Compared(distance)))
    }

    /// Compares the wanted tensors below a prefix with what `ours` gives by name, as one row.
    pub(crate) fn compare_group(
        &self,
        prefix: &str,
        tolerance: Tolerance,
        wanted: impl Fn(&str) -> bool,
        ours: impl Fn(&str) -> Option<Tensor>,
    ) -> Result<Option<Row>> {
        let mut worst: Option<Distance> = None;
        for (key, theirs) in self.weights.below(prefix).iter().filter(|(key, _)| wanted(key)) {
            let place = || format!("{}: {prefix}{key}", self.name);
            let mine = ours(key).with_context(|| format!("{}: we have none", place()))?;
            let distance = Distance::between(&mine, theirs, tolerance).with_context(place)?;
            worst = Some(worst.map_or(distance, |worst| worst.worse(distance)));
        }
        Ok(worst.map(|distance| self.row(format!("{prefix}*"), Status::Compared(distance))))
    }
}
