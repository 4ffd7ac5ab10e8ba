//! A file of named tensors with metadata.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::{self, Write};
use std::path::Path;

use inkdrop_nn::Params;
use inkdrop_torch::TorchError;
use inkdrop_torch::tch::Tensor;
use safetensors::tensor::SafeTensors;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::CheckpointError;
use crate::bytes::{Bytes, kind_of};

/// Named tensors on the CPU and JSON metadata by name.
#[derive(Debug, Default)]
pub struct Weights {
    tensors: BTreeMap<String, Tensor>,
    metadata: BTreeMap<String, String>,
}

impl Weights {
    /// The state of a network: its parameters and buffers, not copied.
    pub fn of(params: &Params) -> Self {
        let entry = |param: &inkdrop_nn::Param| (param.name.clone(), param.tensor.shallow_clone());
        Self { tensors: params.iter().map(entry).collect(), metadata: BTreeMap::new() }
    }

    /// Reads a safetensors file.
    ///
    /// # Errors
    /// The file is missing, unreadable, empty, truncated or of another format.
    pub fn open(path: &Path) -> Result<Self, CheckpointError> {
        let bytes = fs::read(path)
            .map_err(|source| CheckpointError::Read { path: path.to_path_buf(), source })?;
        Self::from_bytes(&bytes, &path.display().to_string())
    }

    /// Reads safetensors from memory; `name` is what errors call it.
    ///
    /// # Errors
    /// The bytes are empty, truncated or of another format.
    pub fn from_bytes(bytes: &[u8], name: &str) -> Result<Self, CheckpointError> {
        let format = |problem: String| CheckpointError::Format { name: name.to_string(), problem };
        if let Some(problem) = foreign(bytes) {
            return Err(format(problem.to_string()));
        }
        let broken = |error| format(format!("{error}; the file is truncated or damaged"));
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(broken)?;
        let file = SafeTensors::deserialize(bytes).map_err(broken)?;
        let mut tensors = BTreeMap::new();
        for (key, view) in file.tensors() {
            let kind = kind_of(view.dtype()).ok_or_else(|| {
                format(format!("{key} has type {}, which is not supported", view.dtype()))
            })?;
            let shape: Vec<i64> = view.shape().iter().map(|&axis| axis as i64).collect();
            let tensor =
                Tensor::f_from_data_size(view.data(), &shape, kind).map_err(TorchError::from)?;
            tensors.insert(key, tensor);
        }
        let metadata = header.metadata().clone().unwrap_or_default().into_iter().collect();
        Ok(Self { tensors, metadata })
    }

    /// Writes a safetensors file in one piece: beside its place, then renamed into it.
    ///
    /// # Errors
    /// The place cannot be written to; a file that stood there still does.
    pub fn save(&self, path: &Path) -> Result<(), CheckpointError> {
        let write = |source| CheckpointError::Write { path: path.to_path_buf(), source };
        if path.is_dir() {
            return Err(write(io::ErrorKind::IsADirectory.into()));
        }
        let bytes = self.to_bytes()?;
        let mut file = atomic_write_file::AtomicWriteFile::open(path).map_err(write)?;
        file.write_all(&bytes).map_err(write)?;
        file.commit().map_err(write)
    }

    fn to_bytes(&self) -> Result<Vec<u8>, CheckpointError> {
        let mut views = Vec::with_capacity(self.tensors.len());
        for (key, tensor) in &self.tensors {
            views.push((key.as_str(), Bytes::copy(tensor)?));
        }
        let metadata: HashMap<_, _> = self.metadata.clone().into_iter().collect();
        safetensors::serialize(views, Some(metadata)).map_err(|error| CheckpointError::Format {
            name: "the weights".to_string(),
            problem: error.to_string(),
        })
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
        Self { tensors: self.tensors.iter().filter_map(strip).collect(), metadata: BTreeMap::new() }
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

/// Formats that are plainly something else, by their first bytes.
fn foreign(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [] => Some("the file is empty"),
        [b'P', b'K', 3, 4, ..] => Some(
            "it is a zip archive, as torch.save writes; save the state_dict with safetensors.torch.save_file",
        ),
        [0x80, 2..=5, ..] => Some(
            "it is a Python pickle, as torch.save writes; save the state_dict with safetensors.torch.save_file",
        ),
        [0x93, b'N', b'U', b'M', ..] => Some("it is a NumPy array"),
        [0x89, b'P', b'N', b'G', ..] => Some("it is a PNG picture"),
        _ => None,
    }
}
