//! Atomic writing: a file appears under its name only when it is complete.

use std::io::{self, BufWriter, Seek, Write};
use std::path::Path;

use atomic_write_file::AtomicWriteFile;

use crate::DataError;

/// A file under construction, writable and seekable.
pub trait WriteSeek: Write + Seek {}

impl<W: Write + Seek> WriteSeek for W {}

/// Writes a file atomically: to a temporary file, fsync, rename, fsync of the folder.
///
/// On failure, an earlier file at `path` does not change.
///
/// # Errors
/// [`DataError::Write`] with the path and the error of the system or of `fill`.
pub fn write_atomic(
    path: &Path,
    fill: impl FnOnce(&mut dyn WriteSeek) -> io::Result<()>,
) -> Result<(), DataError> {
    let write = || {
        let mut buffered = BufWriter::new(AtomicWriteFile::open(path)?);
        fill(&mut buffered)?;
        let file = buffered.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.commit()
    };
    write().map_err(|source| DataError::write(path, source))
}
