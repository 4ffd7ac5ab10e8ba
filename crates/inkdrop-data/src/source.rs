//! Where the images of a run are: in memory, or read when they are asked for.

use std::fmt::Debug;
use std::sync::Arc;

use crate::{DataError, Dataset, Images, Labels};

/// Images of one size that are read by their number, from several threads at once.
pub trait Source: Debug + Send + Sync {
    /// How many images there are.
    fn len(&self) -> usize;

    /// Whether there is no image.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Rows, columns and channels of each image; 1 channel (gray) or 3 (RGB).
    fn shape(&self) -> [usize; 3];

    /// Puts image `index` into `pixels`, which has H·W·C bytes in HWC order.
    ///
    /// # Errors
    /// There is no such image, or its file cannot be read.
    fn read(&self, index: usize, pixels: &mut [u8]) -> Result<(), DataError>;

    /// Whether the next image that can be read takes the place of one that cannot, or the error
    /// ends the run.
    fn skips(&self) -> bool {
        false
    }
}

impl Source for Images {
    fn len(&self) -> usize {
        self.len()
    }

    fn shape(&self) -> [usize; 3] {
        [self.height(), self.width(), self.channels()]
    }

    fn read(&self, index: usize, pixels: &mut [u8]) -> Result<(), DataError> {
        let image = self.image(index);
        if image.len() != pixels.len() {
            return Err(DataError::Images(format!(
                "image {index} into {} bytes, expected one of the {} images of shape {:?}",
                pixels.len(),
                self.len(),
                self.shape()
            )));
        }
        pixels.copy_from_slice(image);
        Ok(())
    }
}

/// Images, wherever they are, with their labels.
#[derive(Debug, Clone)]
pub struct LabelledSource {
    /// The images.
    pub images: Arc<dyn Source>,
    /// Their labels, one per image or none at all.
    pub labels: Labels,
}

impl From<Dataset> for LabelledSource {
    fn from(Dataset { images, labels }: Dataset) -> Self {
        Self { images: Arc::new(images), labels }
    }
}
