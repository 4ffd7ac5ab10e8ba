//! What is in a numpy file, once its header and its size agree.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use super::header::{Header, Kind};
use crate::DataError;

/// The most bytes of a file that its header is looked for in.
const PREFIX: u64 = 1 << 20;

/// What a file holds, and where.
#[derive(Debug)]
pub(super) struct Head {
    path: PathBuf,
    header: Header,
}

impl Head {
    /// Reads the header of a file alone.
    pub(super) fn open(path: &Path) -> Result<(Self, File), DataError> {
        let unread = |source| DataError::read(path, source);
        let file = File::open(path).map_err(unread)?;
        let length = file.metadata().map_err(unread)?.len();
        let mut start = Vec::new();
        (&file).take(PREFIX).read_to_end(&mut start).map_err(unread)?;
        Ok((Self::new(path, &start, length)?, file))
    }

    /// Checks the header at the start of a file of `length` bytes.
    fn new(path: &Path, start: &[u8], length: u64) -> Result<Self, DataError> {
        let header = Header::parse(start).map_err(|problem| DataError::file(path, problem))?;
        let head = Self { path: path.to_path_buf(), header };
        if head.header.fortran && head.shape().len() > 1 {
            return Err(head.unlike("C order, not Fortran order; save np.ascontiguousarray(x)"));
        }
        head.check_size(length.saturating_sub(head.start()))?;
        Ok(head)
    }

    fn check_size(&self, found: u64) -> Result<(), DataError> {
        let (shape, size) = (self.shape(), self.kind().size);
        let expected = shape.iter().try_fold(size, |product, &side| product.checked_mul(side));
        if expected.is_some_and(|expected| expected as u64 == found) {
            return Ok(());
        }
        let expected = expected.map_or("more than any file holds".to_owned(), |n| n.to_string());
        Err(self.bad_value(format!(
            "{found} bytes of values, expected {expected} for shape {shape:?}; the file is damaged, fetch it again"
        )))
    }

    /// The file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Where the values start, in bytes.
    pub(super) fn start(&self) -> u64 {
        self.header.start as u64
    }

    /// The lengths of the dimensions.
    pub(super) fn shape(&self) -> &[usize] {
        &self.header.shape
    }

    /// The values' type.
    pub(super) fn kind(&self) -> Kind {
        self.header.kind
    }

    /// `[N, H, W, C]` of images as [`Images`](crate::Images) takes them, at least one.
    pub(super) fn images(&self) -> Result<[usize; 4], DataError> {
        let &[n, h, w, c] = self.shape() else {
            return Err(self.unlike("images [N, H, W, C] of 4 dimensions"));
        };
        if (self.kind().letter, self.kind().size) != ('u', 1) {
            return Err(self.unlike("images of type uint8; convert with `.astype('uint8')`"));
        }
        if !matches!(c, 1 | 3) {
            let expected = "[N, H, W, C] with C 1 (gray) or 3 (RGB); move the channels last with \
                            `.transpose(0, 2, 3, 1)` if they come before the rows";
            return Err(self.unlike(expected));
        }
        if [n, h, w].contains(&0) {
            return Err(self.unlike("at least one image, and none without pixels"));
        }
        Ok([n, h, w, c])
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

/// A whole numpy file.
#[derive(Debug)]
pub(super) struct NpyFile {
    /// What it says of itself.
    pub(super) head: Head,
    bytes: Vec<u8>,
}

impl NpyFile {
    /// Reads a file; memory is taken for what is in the file, whatever its header says.
    pub(super) fn open(path: &Path) -> Result<Self, DataError> {
        Self::of_bytes(path, fs::read(path).map_err(|source| DataError::read(path, source))?)
    }

    /// Takes the bytes of a file.
    pub(super) fn of_bytes(path: &Path, bytes: Vec<u8>) -> Result<Self, DataError> {
        Ok(Self { head: Head::new(path, &bytes, bytes.len() as u64)?, bytes })
    }

    /// The values' bytes.
    pub(super) fn data(&self) -> &[u8] {
        self.bytes.get(self.head.header.start..).unwrap_or_default()
    }

    /// The values' bytes, without a copy.
    pub(super) fn into_data(mut self) -> Vec<u8> {
        self.bytes.drain(..self.head.header.start.min(self.bytes.len()));
        self.bytes
    }
}
