//! What can be wrong with a file of weights.

use std::io;
use std::path::PathBuf;

use inkdrop_torch::TorchError;

/// A file that cannot be read or written, or weights that do not fit.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is no safetensors file, or a damaged one.
    #[error("{name} is no usable safetensors file: {problem}")]
    Format {
        /// The file.
        name: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The metadata is not what it says.
    #[error("metadata `{key}` is not what was expected: {problem}")]
    Metadata {
        /// The entry.
        key: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Keys, shapes or kinds do not fit the network.
    #[error("the weights do not fit the network: {0}")]
    Mismatch(Mismatch),
    /// libtorch failed.
    #[error(transparent)]
    Torch(#[from] TorchError),
}

/// How weights and network differ.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mismatch {
    /// Keys that the network has and the file does not.
    pub missing: Vec<String>,
    /// Keys that the file has and the network does not.
    pub unexpected: Vec<String>,
    /// Keys whose shape or kind differs, with both.
    pub different: Vec<String>,
}

impl std::fmt::Display for Mismatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let groups = [
            ("missing", &self.missing),
            ("unexpected", &self.unexpected),
            ("different", &self.different),
        ];
        let mut parts = Vec::new();
        for (what, keys) in groups.into_iter().filter(|(_, keys)| !keys.is_empty()) {
            let more = if keys.len() > 3 { ", …" } else { "" };
            let shown = &keys[..keys.len().min(3)];
            parts.push(format!("{} {what} ({}{more})", keys.len(), shown.join(", ")));
        }
        f.write_str(&parts.join("; "))
    }
}
