//! What is in a numpy file, once its header and its size agree.

use std::fs;
use std::path::{Path, PathBuf};

use super::header::{Header, Kind};
use crate::DataError;

/// A whole numpy file.
pub(super) struct NpyFile {
    path: PathBuf,
    bytes: Vec<u8>,
    header: Header,
}

impl NpyFile {
    /// Reads a file; memory is taken for what is in the file, whatever its header says.
    pub(super) fn open(path: &Path) -> Result<Self, DataError> {
        let bytes = fs::read(path).map_err(|source| DataError::read(path, source))?;
        let header = Header::parse(&bytes).map_err(|problem| DataError::file(path, problem))?;
        let file = Self { path: path.to_path_buf(), bytes, header };
        if file.header.fortran && file.shape().len() > 1 {
            return Err(file.unlike("C order, not Fortran order; save np.ascontiguousarray(x)"));
        }
        file.check_size()?;
        Ok(file)
    }

    fn check_size(&self) -> Result<(), DataError> {
        let (shape, size) = (self.shape(), self.kind().size);
        let expected = shape.iter().try_fold(size, |product, &side| product.checked_mul(side));
        if expected == Some(self.data().len()) {
            return Ok(());
        }
        let expected = expected.map_or("more than any file holds".to_owned(), |n| n.to_string());
        Err(self.bad_value(format!(
            "{} bytes of values, expected {expected} for shape {shape:?}; the file is damaged, fetch it again",
            self.data().len(),
        )))
    }

    /// The lengths of the dimensions.
    pub(super) fn shape(&self) -> &[usize] {
        &self.header.shape
    }

    /// The values' type.
    pub(super) fn kind(&self) -> Kind {
        self.header.kind
    }

    /// The values' bytes.
    pub(super) fn data(&self) -> &[u8] {
        self.bytes.get(self.header.start..).unwrap_or_default()
    }

    /// The values' bytes, without a copy.
    pub(super) fn into_data(mut self) -> Vec<u8> {
        self.bytes.drain(..self.header.start.min(self.bytes.len()));
        self.bytes
    }

    /// The error of a file that is an array, but not the one expected.
    pub(super) fn unlike(&self, expected: &str) -> DataError {
        let (shape, Kind { letter, size, .. }) = (self.shape(), self.kind());
        self.bad_value(format!("shape {shape:?} of type {letter}{size}, expected {expected}"))
    }

    /// The error of a value that can't be used.
    pub(super) fn bad_value(&self, problem: String) -> DataError {
        DataError::file(&self.path, problem)
    }
}
