//! What can go wrong with data that a user hands in, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

/// Everything a user of this crate can cause, named with what was given and what was expected.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// A file could not be opened or read.
    #[error("cannot read {}: {source}; check the path and its permissions", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file could not be written; a file of that name that was there before is untouched.
    #[error("cannot write {}: {source}; check that its folder exists and can be written", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file is there, but isn't what its name promises.
    #[error("{}: {problem}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What was found, what was expected, and what to do.
        problem: String,
    },
    /// Images of a shape that can't be trained on or drawn.
    #[error("images: {0}")]
    Images(String),
    /// Labels that don't go with their images.
    #[error("labels: {0}")]
    Labels(String),
    /// A batch size that doesn't go with the number of images.
    #[error(
        "batch {batch}: expected 1 to {len}, the number of images; choose a batch size in that range"
    )]
    Batch {
        /// The batch size given.
        batch: usize,
        /// The number of images.
        len: usize,
    },
    /// A share of the batches that no rank can have.
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
    /// More threads than may read, or than the system starts.
    #[error("{wanted} reading threads: {problem}; choose fewer workers")]
    Workers {
        /// The number given.
        wanted: usize,
        /// What is in the way.
        problem: String,
    },
    /// A name that is not one of the known ones.
    #[error("unknown {what} `{given}`: expected one of {expected}")]
    Unknown {
        /// What was to be named.
        what: &'static str,
        /// The name given.
        given: String,
        /// The names that exist.
        expected: String,
    },
    /// A picture that can't be drawn or encoded.
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
}
