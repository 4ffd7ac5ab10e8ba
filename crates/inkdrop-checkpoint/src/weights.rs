//! State dict: named tensors with metadata.

use std::collections::BTreeMap;
use std::path::Path;

use inkdrop_nn::Params;
use inkdrop_torch::tch::{Kind, Tensor};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::atomic::write_atomic;
use crate::pickle::Unsupported;
use crate::{CheckpointError, Constructor, Format, reading, safetensors};

/// State dict: tensors on the CPU by name, with JSON metadata.
#[derive(Debug, Default)]
pub struct StateDict {
    pub(crate) tensors: BTreeMap<String, Tensor>,
    /// Dtypes of the tensors that [`load_shared`](crate::load_shared) replaced.
    pub(crate) widened: BTreeMap<String, Kind>,
    pub(crate) unsupported: BTreeMap<String, UnsupportedTensor>,
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) format: Format,
    pub(crate) skipped: Vec<String>,
    pub(crate) order: Vec<String>,
    pub(crate) constructors: Vec<Constructor>,
}

/// A tensor that was left out, since its dtype or layout is not supported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnsupportedTensor {
    /// Its dtype or layout: `complex64`, `F8_E5M2`, `sparse`, `quantized`.
    pub kind: String,
    /// Its shape; empty if the file does not say it in a known form.
    pub shape: Vec<i64>,
}

impl UnsupportedTensor {
    pub(crate) fn of(tensor: &Unsupported) -> Self {
        Self { kind: tensor.kind.to_string(), shape: tensor.shape.clone() }
    }
}

impl StateDict {
    /// The state dict of a network: its parameters and buffers, not copied.
    pub fn of(params: &Params) -> Self {
        let entry = |param: &inkdrop_nn::Param| (param.name.clone(), param.tensor.shallow_clone());
        Self { tensors: params.iter().map(entry).collect(), ..Self::default() }
    }

    /// Reads a file of weights: safetensors, torch.save (`.pt`, `.pth`; zip and old format), pickle.dump
    /// (network snapshots of EDM and EDM2, `.pkl`), or `.npz`. The format is detected by its contents, not by its name.
    ///
    /// Nested dictionaries become names with dots: `{"model": {"conv.weight": …}}` is
    /// `model.conv.weight`. A whole module, as torch.save(model) writes it, gives its state dict.
    /// Values of any other class are left out and listed by [`StateDict::skipped`], tensors of
    /// unsupported dtypes and layouts by [`StateDict::unsupported`]. Untrusted files are safe to
    /// open: no code is executed, and memory is bounded by [`limits`](crate::limits).
    /// [`StateDict::part`] selects one of several networks.
    ///
    /// # Errors
    /// The file is missing, unreadable, empty, truncated or of another format. It names functions
    /// that run code, such as `os.system`, or exceeds the memory limits.
    pub fn open(path: &Path) -> Result<Self, CheckpointError> {
        reading::open(path)
    }

    /// Reads any format of [`StateDict::open`] from memory; `name` is used in errors.
    ///
    /// # Errors
    /// As for [`StateDict::open`].
    pub fn from_bytes(bytes: &[u8], name: &str) -> Result<Self, CheckpointError> {
        reading::from_bytes(bytes, name)
    }

    /// Writes a safetensors file atomically: a temporary file, then a rename.
    ///
    /// # Errors
    /// The file cannot be written; an existing file is unchanged.
    pub fn save(&self, path: &Path) -> Result<(), CheckpointError> {
        write_atomic(path, |file| safetensors::write(file, self))
    }

    /// The format that the weights were read from.
    pub fn format(&self) -> Format {
        self.format
    }

    /// The dotted names of all other values in the file: epochs, arguments, texts.
    pub fn skipped(&self) -> &[String] {
        &self.skipped
    }

    /// Tensors that were left out, since their dtype or layout is not supported: complex numbers,
    /// fp8, unsigned integers of 16 bits or more, and quantized, sparse, meta and nested tensors.
    pub fn unsupported(&self) -> impl Iterator<Item = (&str, &UnsupportedTensor)> {
        self.unsupported.iter().map(|(key, tensor)| (key.as_str(), tensor))
    }

    /// All names in the order of a torch.save file, which is that of the network's parameters.
    /// Empty for other formats, which have no order.
    pub fn order(&self) -> &[String] {
        &self.order
    }

    /// The calls that constructed the object whose tensors these are, and the objects around it, outermost first.
    /// Empty for files that do not record them.
    pub fn constructors(&self) -> impl Iterator<Item = &Constructor> {
        self.constructors.iter().filter(|call| call.prefix.is_empty())
    }

    /// Adds a tensor, or replaces the one with this name.
    pub fn insert(&mut self, key: impl Into<String>, tensor: Tensor) {
        let key = key.into();
        self.widened.remove(&key);
        self.tensors.insert(key, tensor);
    }

    /// Replaces a tensor by the same values in a wider dtype.
    pub(crate) fn widen(&mut self, key: &str, wide: Tensor, stored: Kind) {
        self.insert(key, wide);
        self.widened.insert(key.to_string(), stored);
    }

    /// The dtype of a tensor in its file, also after [`load_shared`](crate::load_shared) widened it.
    pub fn stored_kind(&self, key: &str) -> Option<Kind> {
        let own = || self.tensors.get(key).map(Tensor::kind);
        self.widened.get(key).copied().or_else(own)
    }

    /// Keeps only the tensors whose names pass a test.
    pub fn retain(&mut self, keep: impl Fn(&str) -> bool) {
        self.tensors.retain(|key, _| keep(key));
        self.unsupported.retain(|key, _| keep(key));
        self.order.retain(|key| keep(key));
    }

    /// The tensor with this name.
    pub fn get(&self, key: &str) -> Option<&Tensor> {
        self.tensors.get(key)
    }

    /// All names and tensors, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.tensors.iter().map(|(key, tensor)| (key.as_str(), tensor))
    }

    /// The tensors whose names have this prefix, with the prefix removed.
    pub fn below(&self, prefix: &str) -> Self {
        let strip = |(key, tensor): (&String, &Tensor)| {
            key.strip_prefix(prefix).map(|rest| (rest.to_string(), tensor.shallow_clone()))
        };
        Self { tensors: self.tensors.iter().filter_map(strip).collect(), ..Self::default() }
    }

    /// Parses a metadata entry; `None` if it does not exist.
    ///
    /// # Errors
    /// The entry is not valid JSON of this type.
    pub fn metadata<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, CheckpointError> {
        let parse = |text: &String| {
            serde_json::from_str(text).map_err(|error| CheckpointError::Metadata {
                key: key.to_string(),
                problem: error.to_string(),
            })
        };
        self.metadata.get(key).map(parse).transpose()
    }

    /// The text of a metadata entry.
    pub fn metadata_text(&self, key: &str) -> Option<&str> {
        self.metadata.get(key).map(String::as_str)
    }

    /// Sets a metadata entry to the JSON of a value.
    ///
    /// # Errors
    /// The value cannot be serialized as JSON.
    pub fn set_metadata(
        &mut self,
        key: &str,
        value: &impl Serialize,
    ) -> Result<(), CheckpointError> {
        let text = serde_json::to_string(value).map_err(|error| CheckpointError::Metadata {
            key: key.to_string(),
            problem: error.to_string(),
        })?;
        self.set_metadata_text(key, text);
        Ok(())
    }

    /// Sets a metadata entry to a text.
    pub fn set_metadata_text(&mut self, key: &str, text: impl Into<String>) {
        self.metadata.insert(key.to_string(), text.into());
    }
}
