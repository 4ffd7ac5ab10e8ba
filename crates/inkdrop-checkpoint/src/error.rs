//! What can be wrong with a file of weights.

use std::io;
use std::path::PathBuf;

use inkdrop_torch::TorchError;
use inkdrop_torch::tch::TchError;

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
    /// The file is of no format that is read, or damaged, or asks for more than it may.
    #[error("{name} is no usable file of weights: {problem}")]
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
    /// The file holds several networks, or not the one that was asked for.
    #[error("{0}")]
    Part(String),
    /// The folder is not as diffusers saves a network.
    #[error("{} is no usable diffusers folder: {problem}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A JSON file of a folder is damaged or lacks an entry.
    #[error("{name} is not as diffusers writes it: {problem}")]
    Json {
        /// The file.
        name: String,
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

/// What goes wrong inside a file, before the file's name is known.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The contents are wrong.
    Problem(String),
    /// The file cannot be read or written.
    Io(io::Error),
    /// libtorch failed.
    Torch(TorchError),
}

impl Fault {
    /// The error of a file that is being read.
    pub(crate) fn reading(self, name: &str) -> CheckpointError {
        match self {
            Self::Problem(problem) => CheckpointError::Format { name: name.to_string(), problem },
            Self::Io(source) => CheckpointError::Read { path: PathBuf::from(name), source },
            Self::Torch(error) => CheckpointError::Torch(error),
        }
    }

    /// The error of a file that is being written.
    pub(crate) fn writing(self, path: &std::path::Path) -> CheckpointError {
        match self {
            Self::Problem(problem) => {
                CheckpointError::Format { name: "the weights".to_string(), problem }
            }
            Self::Io(source) => CheckpointError::Write { path: path.to_path_buf(), source },
            Self::Torch(error) => CheckpointError::Torch(error),
        }
    }

    /// The same, with the entry that it is about before it.
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

/// A name out of a file, fit for a message: in one line, and not long.
pub(crate) fn shown(name: &str) -> String {
    let mut text: String = name.chars().take(100).flat_map(char::escape_debug).collect();
    if name.chars().nth(100).is_some() {
        text.push('…');
    }
    text
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
