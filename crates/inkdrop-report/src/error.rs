//! What can go wrong with a run folder or an event file.

use std::io;
use std::path::{Path, PathBuf};

/// Everything a user of this crate can cause, named with what was given and what was expected.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// A file could not be read.
    #[error("cannot read {}: {source}; check the path and its permissions", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file could not be written.
    #[error("cannot write {}: {source}; check that its folder can be written and has room", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A folder that holds no run.
    #[error("{} holds no training run: {problem}; name the folder that `inkdrop train --out` wrote to", path.display())]
    NoRun {
        /// The folder.
        path: PathBuf,
        /// What is missing.
        problem: String,
    },
    /// Bytes that are no PNG picture.
    #[error("{tag}: {len} bytes that are no PNG picture, expected a whole PNG file")]
    NoPng {
        /// What they were to be shown as.
        tag: String,
        /// How many bytes.
        len: usize,
    },
}

impl ReportError {
    pub(crate) fn read(path: &Path, source: io::Error) -> Self {
        Self::Read { path: path.to_path_buf(), source }
    }

    pub(crate) fn write(path: &Path, source: io::Error) -> Self {
        Self::Write { path: path.to_path_buf(), source }
    }
}
