//! Errors of reading, writing and loading weights.

use std::io;
use std::path::PathBuf;

use inkdrop_torch::TorchError;
use inkdrop_torch::tch::TchError;

/// Error of reading, writing or loading weights.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// The file cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// The format of the file is unknown, or the file is damaged or exceeds the limits.
    #[error("{name} cannot be read as weights: {problem}")]
    Format {
        /// The file.
        name: String,
        /// The problem.
        problem: String,
    },
    /// A metadata entry is invalid.
    #[error("metadata `{key}` is invalid: {problem}")]
    Metadata {
        /// Name of the entry.
        key: String,
        /// The problem.
        problem: String,
    },
    /// The file contains several networks, or not the requested one.
    #[error("{0}")]
    Part(String),
    /// The folder is not a valid diffusers folder.
    #[error("{} is not a valid diffusers folder: {problem}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// The problem.
        problem: String,
    },
    /// A JSON file of a diffusers folder is damaged or lacks an entry.
    #[error("{name} is not a valid file of diffusers: {problem}")]
    Json {
        /// The file.
        name: String,
        /// The problem.
        problem: String,
    },
    /// Keys, shapes or dtypes do not match the network.
    #[error("the weights do not match the network: {0}")]
    Mismatch(Mismatch),
    /// A tensor of the network has a dtype or layout that is not supported.
    #[error("tensor `{key}` of the network is {kind}, which is not supported; {}", advice(kind))]
    Unsupported {
        /// Name of the tensor.
        key: String,
        /// Its dtype or layout.
        kind: String,
    },
    /// libtorch failed.
    #[error(transparent)]
    Torch(#[from] TorchError),
}

impl CheckpointError {
    /// True if the file itself is damaged or unreadable, whatever was expected in it.
    pub fn is_damage(&self) -> bool {
        matches!(self, Self::Read { .. } | Self::Format { .. } | Self::Metadata { .. })
    }
}

/// What to do about a tensor of an unsupported dtype or layout.
fn advice(kind: &str) -> &'static str {
    match kind {
        "sparse" => "call .to_dense() before saving",
        "quantized" => "call .dequantize() before saving",
        "meta" => "it has no values: save a loaded model",
        _ => "save it as a plain float tensor, with .to(torch.float32)",
    }
}

/// Error inside a file, before the file's name is added.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The contents are invalid.
    Problem(String),
    /// The file cannot be read or written.
    Io(io::Error),
    /// libtorch failed.
    Torch(TorchError),
}

impl Fault {
    /// The error of reading a file.
    pub(crate) fn reading(self, name: &str) -> CheckpointError {
        match self {
            Self::Problem(problem) => CheckpointError::Format { name: name.to_string(), problem },
            Self::Io(source) => CheckpointError::Read { path: PathBuf::from(name), source },
            Self::Torch(error) => CheckpointError::Torch(error),
        }
    }

    /// The error of writing a file.
    pub(crate) fn writing(self, path: &std::path::Path) -> CheckpointError {
        match self {
            Self::Problem(problem) => {
                CheckpointError::Format { name: "the weights".to_string(), problem }
            }
            Self::Io(source) => CheckpointError::Write { path: path.to_path_buf(), source },
            Self::Torch(error) => CheckpointError::Torch(error),
        }
    }

    /// The same error with the name of the entry as a prefix.
    pub(crate) fn about(self, entry: &str) -> Self {
        match self {
            Self::Problem(problem) => Self::Problem(format!("{}: {problem}", shown(entry))),
            other => other,
        }
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        use io::ErrorKind::{InvalidData, InvalidInput, UnexpectedEof};
        match error.kind() {
            UnexpectedEof => Self::Problem("the file is truncated or damaged".to_string()),
            InvalidData | InvalidInput => Self::Problem(format!("the file is damaged: {error}")),
            _ => Self::Io(error),
        }
    }
}

impl From<TchError> for Fault {
    fn from(error: TchError) -> Self {
        Self::Torch(error.into())
    }
}

impl From<TorchError> for Fault {
    fn from(error: TorchError) -> Self {
        Self::Torch(error)
    }
}

/// A name of a file as text for messages: escaped, in one line, at most 100 characters.
pub(crate) fn shown(name: &str) -> String {
    let mut text: String = name.chars().take(100).flat_map(char::escape_debug).collect();
    if name.chars().nth(100).is_some() {
        text.push('…');
    }
    text
}

/// Differences between the weights and the network.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mismatch {
    /// Keys of the network that the file does not have.
    pub missing: Vec<String>,
    /// Keys of the file that the network does not have.
    pub unexpected: Vec<String>,
    /// Keys whose shape or dtype differs, with both values.
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
