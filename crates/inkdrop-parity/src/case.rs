//! Golden case: tensors and metadata of a safetensors file.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use inkdrop_checkpoint::StateDict;
use inkdrop_nn::Params;
use inkdrop_torch::NoiseTape;
use inkdrop_torch::tch::{Device, Kind, Tensor};
use serde::de::DeserializeOwned;

use crate::report::{Comparison, Distance, Status, Tolerance};

/// A golden case.
#[derive(Debug)]
pub struct Case {
    /// File name without extension.
    pub name: String,
    /// Kind of comparison: `unet`, `layer`, `schedule`, …
    pub kind: String,
    /// Model family, or class of the scheduler.
    pub family: String,
    /// The tensors.
    pub weights: StateDict,
    /// Folder of the file.
    pub(crate) folder: PathBuf,
}

impl Case {
    /// Reads a case.
    ///
    /// # Errors
    /// The file is not a safetensors file, or its metadata has no kind.
    pub fn open(path: &Path) -> Result<Self> {
        let weights = StateDict::open(path)?;
        let text = |key: &str| weights.metadata_text(key).map(str::to_string);
        let kind = text("kind").with_context(|| {
            format!("{} is not a golden case: its metadata has no `kind`", path.display())
        })?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder.to_path_buf(),
            _ => PathBuf::from("."),
        };
        Ok(Self { name, kind, family: text("family").unwrap_or_default(), weights, folder })
    }

    /// The config, in the argument names of the PyTorch program.
    pub(crate) fn config<T: DeserializeOwned>(&self) -> Result<T> {
        let config = self.weights.metadata_text("config");
        let config =
            config.with_context(|| format!("{}: the metadata has no `config`", self.name))?;
        // Python writes infinity like this, which is not valid JSON.
        let config = config.replace(": -Infinity", ": -1.7976931348623157e308");
        serde_json::from_str(&config).with_context(|| format!("{}: `config`", self.name))
    }

    /// The tensor with this name.
    pub(crate) fn tensor(&self, key: &str) -> Result<&Tensor> {
        self.weights.get(key).with_context(|| format!("{}: tensor `{key}` is missing", self.name))
    }

    pub(crate) fn row(&self, what: impl Into<String>, status: Status) -> Comparison {
        Comparison { case: self.name.clone(), what: what.into(), status }
    }

    /// Compares a result with the case's tensor `key`.
    pub(crate) fn compare(
        &self,
        key: &str,
        ours: &Tensor,
        tolerance: Tolerance,
    ) -> Result<Comparison> {
        let distance = Distance::between(ours, self.tensor(key)?, tolerance)
            .with_context(|| format!("{}: {key}", self.name))?;
        Ok(self.row(key, Status::Compared(distance)))
    }

    /// Compares a result in f64, where only the rounding of the f32 reference remains: 1e-6, and what the
    /// case says of the original's own run in f64.
    pub(crate) fn compare_double(
        &self,
        key: &str,
        ours: &Tensor,
        theirs: &Tensor,
    ) -> Result<Comparison> {
        let stated = self.weights.metadata_text("f64_out_max_abs_diff");
        let tolerance = match stated.map(str::parse::<f64>).transpose()? {
            Some(stated) => Tolerance::Absolute(stated + 1e-6),
            None => Tolerance::Scaled(1e-6),
        };
        let distance = Distance::between(ours, theirs, tolerance)
            .with_context(|| format!("{}: {key}", self.name))?;
        Ok(self.row(format!("{key} in f64"), Status::Compared(distance)))
    }

    /// Compares the gradients after a backward pass, and their norm where the case has it.
    pub(crate) fn compare_gradients(&self, params: &Params) -> Result<Vec<Comparison>> {
        let ours = |key: &str| params.get(key).map(|param| param.tensor.grad());
        self.compare_gradients_named(params, ours)
    }

    /// The same for gradients with other names in the case.
    pub(crate) fn compare_gradients_named(
        &self,
        params: &Params,
        ours: impl Fn(&str) -> Option<Tensor>,
    ) -> Result<Vec<Comparison>> {
        let mut rows = Vec::new();
        rows.extend(self.compare_group("grad:", Tolerance::Scaled(1e-4), |_| true, ours)?);
        if self.weights.get("grad_norm").is_some() {
            let norm = gradient_norm(params)?;
            rows.push(self.compare("grad_norm", &norm, Tolerance::Scaled(1e-4))?);
        }
        Ok(rows)
    }

    /// The recorded noise; empty if the case has no tape.
    pub(crate) fn noise(&self) -> Result<NoiseTape> {
        let draws = match self.weights.get("noise_tape") {
            Some(draws) => draws.shallow_clone(),
            None => Tensor::f_zeros([0], (Kind::Float, Device::Cpu))?,
        };
        Ok(NoiseTape::new(draws))
    }

    /// Compares all selected tensors with this prefix with the results of `ours`, as one group.
    pub(crate) fn compare_group(
        &self,
        prefix: &str,
        tolerance: Tolerance,
        selected: impl Fn(&str) -> bool,
        ours: impl Fn(&str) -> Option<Tensor>,
    ) -> Result<Option<Comparison>> {
        let mut worst: Option<Distance> = None;
        for (key, theirs) in self.weights.below(prefix).iter().filter(|(key, _)| selected(key)) {
            let place = || format!("{}: {prefix}{key}", self.name);
            let result =
                ours(key).with_context(|| format!("{}: inkdrop has no such tensor", place()))?;
            let distance = Distance::between(&result, theirs, tolerance).with_context(place)?;
            worst = Some(worst.map_or(distance, |worst| worst.worse(distance)));
        }
        Ok(worst.map(|distance| self.row(format!("{prefix}*"), Status::Compared(distance))))
    }
}

/// Norm of the gradients of all parameters except the shortcut, which the sprites notebook redraws in
/// every forward pass.
fn gradient_norm(params: &Params) -> Result<Tensor> {
    let mut sum = 0.0;
    for param in params.trained() {
        let grad = param.tensor.grad();
        if !param.name.starts_with("init_conv.shortcut") && grad.defined() {
            sum += f64::try_from(grad.to_kind(Kind::Double).square().sum(Kind::Double))?;
        }
    }
    Ok(Tensor::from_slice(&[sum.sqrt()]))
}
