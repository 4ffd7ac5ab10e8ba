//! How pictures that come one by one become images.

use std::path::{Path, PathBuf};

use ndarray::Array4;

use super::fitted::{Fitted, Fitting};
use crate::{DataError, Images, InMemoryDataset, Labels};

/// Pictures of one size, as bytes.
pub(super) struct Stack {
    channels: usize,
    /// The first picture's file, and its width and height.
    first: Option<(PathBuf, (usize, usize))>,
    /// `[N, H, W, C]`
    bytes: Vec<u8>,
    ids: Vec<u32>,
}

impl Stack {
    /// An empty one.
    pub(super) fn new(fitting: Fitting) -> Self {
        Self { channels: fitting.channels(), first: None, bytes: Vec::new(), ids: Vec::new() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Adds a picture; memory grows with what was read, and where it ends that is an error.
    pub(super) fn push(
        &mut self,
        path: &Path,
        picture: Fitted,
        class: u32,
    ) -> Result<(), DataError> {
        let Fitted { width, height, bytes } = picture;
        let (first, sides) = self.first.get_or_insert_with(|| (path.into(), (width, height)));
        check_sides(path, (width, height), first, *sides)?;
        self.bytes.try_reserve(bytes.len()).map_err(|_| {
            let problem = format!(
                "picture {} does not fit into memory; set a smaller size, or a memory_mib that \
                 memory holds, so that the pictures are read one by one",
                self.ids.len()
            );
            DataError::file(path, problem)
        })?;
        self.bytes.extend(bytes);
        self.ids.push(class);
        Ok(())
    }

    /// All pictures, labelled where there are classes.
    pub(super) fn finish(self, classes: usize) -> Result<InMemoryDataset, DataError> {
        let (width, height) = self.first.map_or((0, 0), |(_, sides)| sides);
        let shape = (self.ids.len(), height, width, self.channels);
        let pixels = Array4::from_shape_vec(shape, self.bytes);
        let pixels = pixels.map_err(|error| DataError::Images(error.to_string()))?;
        InMemoryDataset::new(Images::new(pixels)?, labels(self.ids, classes))
    }
}

/// Checks that a picture is of the size of the first one.
pub(super) fn check_sides(
    path: &Path,
    (width, height): (usize, usize),
    first: &Path,
    (wide, high): (usize, usize),
) -> Result<(), DataError> {
    if (width, height) == (wide, high) {
        return Ok(());
    }
    let problem = format!(
        "{width} x {height} pixels, expected {wide} x {high} as {} has; set a size to fit all to",
        first.display()
    );
    Err(DataError::file(path, problem))
}

/// The labels of pictures, where there are classes.
pub(super) fn labels(ids: Vec<u32>, classes: usize) -> Labels {
    match classes {
        0 => Labels::None,
        count => Labels::Classes { ids, count },
    }
}
