//! State dicts: named tensors with metadata.

use std::collections::BTreeMap;
use std::path::Path;

use inkdrop_nn::Params;
use inkdrop_torch::tch::Tensor;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::atomic::write_atomic;
use crate::{CheckpointError, Format, reading, safetensors};

/// A state dict: named tensors on the CPU, with JSON metadata.
#[derive(Debug, Default)]
pub struct StateDict {
    pub(crate) tensors: BTreeMap<String, Tensor>,
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) format: Format,
    pub(crate) skipped: Vec<String>,
    pub(crate) order: Vec<String>,
}

impl StateDict {
    /// The state of a network: its parameters and buffers, not copied.
    pub fn of(params: &Params) -> Self {
        let entry = |param: &inkdrop_nn::Param| (param.name.clone(), param.tensor.shallow_clone());
        Self { tensors: params.iter().map(entry).collect(), ..Self::default() }
    }

    /// Reads a file of weights: safetensors, `.pt` and `.pth` of torch.save in its zip and in its
    /// old format, or `.npz`; which of them, its contents say and not its name.
    ///
    /// Nested dictionaries become names with dots: `{"model": {"conv.weight": …}}` is
    /// `model.conv.weight`. What is no tensor is left out and listed by [`StateDict::skipped`].
    /// No code in a file is executed, and no file takes more memory than
    /// [`limits`](crate::limits) allow; [`StateDict::part`] picks one network of several.
    ///
    /// # Errors
    /// The file is missing, unreadable, empty, truncated or of another format; it holds types
    /// that are not supported, calls what weights do not need, or asks for too much memory.
    pub fn open(path: &Path) -> Result<Self, CheckpointError> {
        reading::open(path)
    }

    /// Reads any format of [`StateDict::open`] from memory; `name` is what errors call it.
    ///
    /// # Errors
    /// As for [`StateDict::open`].
    pub fn from_bytes(bytes: &[u8], name: &str) -> Result<Self, CheckpointError> {
        reading::from_bytes(bytes, name)
    }

    /// Writes a safetensors file in one piece: beside its place, then renamed into it.
    ///
    /// # Errors
    /// The place cannot be written to; a file that stood there still does.
    pub fn save(&self, path: &Path) -> Result<(), CheckpointError> {
        write_atomic(path, |file| safetensors::write(file, self))
    }

    /// The format that the weights were read from.
    pub fn format(&self) -> Format {
        self.format
    }

    /// The dotted names of what the file holds besides tensors: epochs, arguments, texts.
    pub fn skipped(&self) -> &[String] {
        &self.skipped
    }

    /// All names in the order of a torch.save file, which is that of the network's parameters;
    /// empty for other formats, which keep none.
    pub fn order(&self) -> &[String] {
        &self.order
    }

    /// Adds a tensor, or replaces the one of this name.
    pub fn insert(&mut self, key: impl Into<String>, tensor: Tensor) {
        self.tensors.insert(key.into(), tensor);
    }

    /// The tensor of this name.
    pub fn get(&self, key: &str) -> Option<&Tensor> {
        self.tensors.get(key)
    }

    /// All names and tensors, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.tensors.iter().map(|(key, tensor)| (key.as_str(), tensor))
    }

    /// The tensors whose names begin with a prefix, under the rest of their names.
    pub fn below(&self, prefix: &str) -> Self {
        let strip = |(key, tensor): (&String, &Tensor)| {
            key.strip_prefix(prefix).map(|rest| (rest.to_string(), tensor.shallow_clone()))
        };
        Self { tensors: self.tensors.iter().filter_map(strip).collect(), ..Self::default() }
    }

    /// A metadata entry; `None` where the file has none of this name.
    ///
    /// # Errors
    /// The entry is not the JSON of such a value.
    pub fn metadata<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, CheckpointError> {
        let parse = |text: &String| {
            serde_json::from_str(text).map_err(|error| CheckpointError::Metadata {
                key: key.to_string(),
                problem: error.to_string(),
            })
        };
        self.metadata.get(key).map(parse).transpose()
    }

    /// A metadata entry as it stands in the file.
    pub fn metadata_text(&self, key: &str) -> Option<&str> {
        self.metadata.get(key).map(String::as_str)
    }

    /// Sets a metadata entry to the JSON of a value.
    ///
    /// # Errors
    /// The value has no JSON.
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

    /// Sets a metadata entry to a text as it is.
    pub fn set_metadata_text(&mut self, key: &str, text: impl Into<String>) {
        self.metadata.insert(key.to_string(), text.into());
    }
}
