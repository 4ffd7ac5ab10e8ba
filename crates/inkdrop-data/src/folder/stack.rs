//! How pictures that come one by one become images.

use std::path::{Path, PathBuf};

use ndarray::Array4;

use crate::picture::Picture;
use crate::read::luma;
use crate::{DataError, Dataset, Images, Labels};

/// Pictures of one size, as bytes.
pub(super) struct Stack {
    channels: usize,
    /// The first picture's file, width and height.
    first: Option<(PathBuf, usize, usize)>,
    /// `[N, H, W, C]`
    bytes: Vec<u8>,
    ids: Vec<u32>,
}

impl Stack {
    /// An empty one, of 1 or 3 channels.
    pub(super) fn new(channels: usize) -> Self {
        Self { channels, first: None, bytes: Vec::new(), ids: Vec::new() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Adds a picture; memory grows with what was read, and where it ends that is an error.
    pub(super) fn push(
        &mut self,
        path: &Path,
        picture: &Picture,
        class: u32,
    ) -> Result<(), DataError> {
        let (width, height) = (picture.width(), picture.height());
        let (first, wide, high) =
            self.first.get_or_insert_with(|| (path.to_path_buf(), width, height));
        if (width, height) != (*wide, *high) {
            let problem = format!(
                "{width} x {height} pixels, expected {wide} x {high} as {} has; set a size to fit all to",
                first.display()
            );
            return Err(DataError::file(path, problem));
        }
        self.bytes.try_reserve(width * height * self.channels).map_err(|_| {
            let problem =
                format!("picture {} does not fit into memory; set a smaller size", self.ids.len());
            DataError::file(path, problem)
        })?;
        match self.channels {
            1 => self.bytes.extend(luma(picture)),
            _ => self.bytes.extend_from_slice(picture.pixels()),
        }
        self.ids.push(class);
        Ok(())
    }

    /// All pictures, labelled where there are classes.
    pub(super) fn finish(self, classes: usize) -> Result<Dataset, DataError> {
        let (width, height) = self.first.map_or((0, 0), |(_, width, height)| (width, height));
        let shape = (self.ids.len(), height, width, self.channels);
        let pixels = Array4::from_shape_vec(shape, self.bytes);
        let pixels = pixels.map_err(|error| DataError::Images(error.to_string()))?;
        let labels = match classes {
            0 => Labels::None,
            count => Labels::Classes { ids: self.ids, count },
        };
        Dataset::new(Images::new(pixels)?, labels)
    }
}
