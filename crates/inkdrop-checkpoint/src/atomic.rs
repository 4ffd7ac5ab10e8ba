//! Atomic writing of files.

use std::io;
use std::path::Path;

use atomic_write_file::AtomicWriteFile;

use crate::CheckpointError;
use crate::error::Fault;

/// Writes a temporary file in the same folder, then renames it.
pub(crate) fn write_atomic(
    path: &Path,
    write: impl FnOnce(&mut AtomicWriteFile) -> Result<(), Fault>,
) -> Result<(), CheckpointError> {
    let failed = |source: io::Error| CheckpointError::Write { path: path.to_path_buf(), source };
    if path.is_dir() {
        return Err(failed(io::ErrorKind::IsADirectory.into()));
    }
    let mut file = AtomicWriteFile::open(path).map_err(failed)?;
    write(&mut file).map_err(|fault| fault.writing(path))?;
    file.commit().map_err(failed)
}
