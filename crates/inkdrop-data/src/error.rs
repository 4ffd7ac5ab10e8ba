//! Errors of data: what was given, what was expected, and what to do.

use std::io;
use std::path::{Path, PathBuf};

/// An error of this crate; the message names the given and the expected value.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// A file cannot be opened or read.
    #[error("cannot read {}: {source}; check the path and its permissions", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A file cannot be written; an earlier file of that name does not change.
    #[error("cannot write {}: {source}; check that its folder exists and can be written", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A file has invalid content.
    #[error("{}: {problem}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Given value, expected value, and remedy.
        problem: String,
    },
    /// A file of a folder is damaged or cannot be read; [`Broken::Skip`](crate::folder::Broken::Skip) leaves it out.
    #[error("{}: {problem}; set data.broken = \"skip\" (validation.broken for validation images) to leave such files out", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Given value, expected value, and remedy.
        problem: String,
    },
    /// Images have an invalid shape or index.
    #[error("images: {0}")]
    Images(String),
    /// Labels do not fit their images.
    #[error("labels: {0}")]
    Labels(String),
    /// The batch size is out of range.
    #[error(
        "batch {batch}: expected 1 to {len}, the number of images; choose a batch size in that range"
    )]
    Batch {
        /// The batch size given.
        batch: usize,
        /// The number of images.
        len: usize,
    },
    /// The rank of a sharded batch is out of range.
    #[error(
        "rank {rank} of {ranks} with batches of {batch}: expected a rank below the number of ranks, \
         and a batch of at least one item for each; start with other ranks or a larger batch"
    )]
    Shard {
        /// The rank given, from 0.
        rank: usize,
        /// The number of ranks given.
        ranks: usize,
        /// The batch size, of all ranks together.
        batch: usize,
    },
    /// The number of worker threads is out of range, or a thread cannot start.
    #[error("{wanted} reading threads: {problem}; choose fewer workers")]
    Workers {
        /// The number given.
        wanted: usize,
        /// The cause.
        problem: String,
    },
    /// A sprite class is unknown.
    #[error(transparent)]
    SpriteClass(#[from] inkdrop_sprites::UnknownClass),
    /// A picture cannot be drawn or encoded.
    #[error("picture: {0}")]
    Picture(String),
}

impl DataError {
    pub(crate) fn read(path: &Path, source: io::Error) -> Self {
        Self::Read { path: path.to_path_buf(), source }
    }

    pub(crate) fn write(path: &Path, source: io::Error) -> Self {
        Self::Write { path: path.to_path_buf(), source }
    }

    pub(crate) fn file(path: &Path, problem: impl Into<String>) -> Self {
        Self::File { path: path.to_path_buf(), problem: problem.into() }
    }

    /// The error of a file that may be left out.
    pub(crate) fn into_damaged(self) -> Self {
        match self {
            Self::File { path, problem } => Self::Damaged { path, problem },
            Self::Read { path, source } => {
                Self::Damaged { path, problem: format!("cannot be read: {source}") }
            }
            other => other,
        }
    }

    /// The error of a file that may not be left out: it belongs to a pair.
    pub(crate) fn into_file(self) -> Self {
        match self {
            Self::Damaged { path, problem } => Self::File { path, problem },
            other => other,
        }
    }
}
