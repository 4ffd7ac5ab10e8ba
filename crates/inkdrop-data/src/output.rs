//! How a file appears under its name only once it is whole.

use std::io::{self, BufWriter, Seek, Write};
use std::path::Path;

use atomic_write_file::AtomicWriteFile;

use crate::DataError;

/// A file that is being filled: what is written goes to its end, or over what a seek went back to.
pub trait Filling: Write + Seek {}

impl<W: Write + Seek> Filling for W {}

/// Writes a file through a temporary one beside it: `fill`, fsync, rename, fsync of the folder.
///
/// A broken file is never seen under `path`; where anything fails, a file that was there before
/// stays as it was.
///
/// # Errors
/// [`DataError::Write`] with the path and what the system, or `fill`, said.
pub fn write_atomic(
    path: &Path,
    fill: impl FnOnce(&mut dyn Filling) -> io::Result<()>,
) -> Result<(), DataError> {
    let write = || {
        let mut buffered = BufWriter::new(AtomicWriteFile::open(path)?);
        fill(&mut buffered)?;
        let file = buffered.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.commit()
    };
    write().map_err(|source| DataError::write(path, source))
}
