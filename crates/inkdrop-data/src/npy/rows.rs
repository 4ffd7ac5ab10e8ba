//! Images of a numpy file that are read when they are asked for.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::sync::{Mutex, PoisonError};

use super::file::Head;
use crate::DataError;
use crate::Dataset;

/// An open file of images.
#[derive(Debug)]
pub(super) struct Rows {
    head: Head,
    /// `[N, H, W, C]`
    shape: [usize; 4],
    /// One place in a file for all threads: they take turns.
    file: Mutex<File>,
}

impl Rows {
    pub(super) fn new(head: Head, shape: [usize; 4], file: File) -> Self {
        Self { head, shape, file: Mutex::new(file) }
    }
}

impl Dataset for Rows {
    fn len(&self) -> usize {
        self.shape[0]
    }

    fn shape(&self) -> [usize; 3] {
        let [_, height, width, channels] = self.shape;
        [height, width, channels]
    }

    fn read(&self, index: usize, pixels: &mut [u8]) -> Result<(), DataError> {
        let size: usize = Dataset::shape(self).iter().product();
        if index >= self.len() || pixels.len() != size {
            return Err(DataError::Images(format!(
                "image {index} into {} bytes, expected one below {} into {size}",
                pixels.len(),
                self.len()
            )));
        }
        let start = self.head.start() + index as u64 * size as u64;
        // A panic elsewhere leaves the file at some place, and each read seeks its own.
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let place = file.seek(SeekFrom::Start(start));
        let read = place.and_then(|_| file.read_exact(pixels));
        read.map_err(|source| DataError::read(self.head.path(), source))
    }
}
