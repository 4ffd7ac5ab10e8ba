//! Errors of reading run directorys and writing event files.

use std::io;
use std::path::{Path, PathBuf};

/// Error of reading a run or writing an event file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// A file could not be read.
    #[error("cannot read {}: {source}; check the path and its permissions", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// A file could not be written.
    #[error("cannot write {}: {source}; check the permissions of its folder and the free disk space", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// The folder does not contain a training run.
    #[error("{} does not contain a training run: {problem}; expected a folder of `inkdrop train --out`", path.display())]
    NoRun {
        /// The folder.
        path: PathBuf,
        /// The problem.
        problem: String,
    },
    /// The image is not a PNG file.
    #[error("{tag}: the {len} bytes are not a PNG image, expected a complete PNG file")]
    InvalidPng {
        /// Tag of the image.
        tag: String,
        /// Number of bytes.
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
