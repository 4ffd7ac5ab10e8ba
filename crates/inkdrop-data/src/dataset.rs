//! Datasets: images in memory or on disk, with their labels.

use std::fmt::Debug;
use std::sync::Arc;

use ndarray::Array2;

use crate::{DataError, Depth, Images};

/// Labels of images.
#[derive(Debug, Clone, PartialEq)]
pub enum Labels {
    /// No labels.
    None,
    /// One class per image.
    Classes {
        /// The class of each image, 0 to `count` − 1.
        ids: Vec<u32>,
        /// Number of classes.
        count: usize,
    },
    /// Context vectors, `[N, K]`: usually one-hot; any finite weights.
    Context(Array2<f32>),
}

impl Labels {
    /// Number of labels; `None` for [`Labels::None`].
    pub fn len(&self) -> Option<usize> {
        match self {
            Labels::None => None,
            Labels::Classes { ids, .. } => Some(ids.len()),
            Labels::Context(rows) => Some(rows.nrows()),
        }
    }

    /// True if no image has a label.
    pub fn is_empty(&self) -> bool {
        self.len().unwrap_or(0) == 0
    }

    /// True if there are no labels, or one for each of `images` images.
    pub fn matches(&self, images: usize) -> bool {
        self.len().is_none_or(|len| len == images)
    }

    /// Validates the labels of `images` images.
    ///
    /// # Errors
    /// [`DataError::Labels`] if there is not one label per image, a class id is not below the
    /// count, or a weight is not finite.
    pub fn validate(&self, images: usize) -> Result<(), DataError> {
        if !self.matches(images) {
            return Err(DataError::Labels(format!(
                "{} labels for {images} images, expected one label per image; check that both files belong together",
                self.len().unwrap_or(0)
            )));
        }
        self.check()
    }

    /// K, the number of classes or context weights; `None` without labels.
    pub fn width(&self) -> Option<usize> {
        match self {
            Labels::None => None,
            Labels::Classes { count, .. } => Some(*count),
            Labels::Context(rows) => Some(rows.ncols()),
        }
    }

    /// Checks the range of class ids and weights.
    fn check(&self) -> Result<(), DataError> {
        match self {
            Labels::None => Ok(()),
            Labels::Classes { ids, count } => {
                match ids.iter().position(|&id| id as usize >= *count) {
                    Some(i) => Err(DataError::Labels(format!(
                        "class {} of image {i}, expected 0 to {}; raise the class count or fix the label",
                        ids[i],
                        count.saturating_sub(1)
                    ))),
                    None => Ok(()),
                }
            }
            Labels::Context(rows) => match rows.indexed_iter().find(|(_, v)| !v.is_finite()) {
                Some(((i, k), v)) => Err(DataError::Labels(format!(
                    "weight {v} of image {i}, class {k}, expected a finite number; fix or drop that image"
                ))),
                None => Ok(()),
            },
        }
    }
}

/// A dataset in memory: images with their labels.
#[derive(Debug, Clone, PartialEq)]
pub struct InMemoryDataset {
    /// The images, `[N, H, W, C]`.
    pub images: Images,
    /// One label per image, or no labels.
    pub labels: Labels,
}

impl InMemoryDataset {
    /// A dataset of images and labels.
    ///
    /// # Errors
    /// [`DataError::Labels`] if the lengths differ, a class id is not below the count, or a weight
    /// is not finite.
    pub fn new(images: Images, labels: Labels) -> Result<Self, DataError> {
        labels.validate(images.len())?;
        Ok(Self { images, labels })
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.images.len()
    }

    /// True if there are no images.
    pub fn is_empty(&self) -> bool {
        self.images.is_empty()
    }

    /// K, the number of classes or context weights; `None` without labels.
    pub fn context_width(&self) -> Option<usize> {
        self.labels.width()
    }
}

/// A dataset: images of one size, read by index from several threads at once.
///
/// To add a data reader, implement this trait, or write a function that returns an [`InMemoryDataset`]
/// as in `cifar.rs`. The program opens datasets in `DataConfig` (`crates/inkdrop/src/config/data.rs`).
///
/// As in PyTorch's map-style `Dataset`, a [`DataLoader`](crate::loader::DataLoader) batches it.
pub trait Dataset: Debug + Send + Sync {
    /// Number of images.
    fn len(&self) -> usize;

    /// True if there are no images.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Rows, columns and channels of each image; 1 channel (gray), 3 (RGB) or others.
    fn shape(&self) -> [usize; 3];

    /// Bits of a value.
    fn depth(&self) -> Depth {
        Depth::Eight
    }

    /// Reads image `index` into `pixels`.
    ///
    /// # Shapes
    /// - `pixels`: H·W·C bytes in HWC order; of 16-bit values two bytes each, little-endian
    ///
    /// # Errors
    /// There is no such image, or its file cannot be read.
    fn read(&self, index: usize, pixels: &mut [u8]) -> Result<(), DataError>;

    /// True if the data loader replaces an unreadable image by the next readable one; false if it
    /// returns the error.
    fn skips(&self) -> bool {
        false
    }
}

impl Dataset for Images {
    fn len(&self) -> usize {
        self.len()
    }

    fn shape(&self) -> [usize; 3] {
        [self.height(), self.width(), self.channels()]
    }

    fn depth(&self) -> Depth {
        self.depth()
    }

    fn read(&self, index: usize, pixels: &mut [u8]) -> Result<(), DataError> {
        let image = self.raw_image(index);
        if image.len() != pixels.len() {
            return Err(DataError::Images(format!(
                "image {index} into {} bytes, expected one of the {} images of shape {:?}",
                pixels.len(),
                self.len(),
                self.shape()
            )));
        }
        pixels.copy_from_slice(&image);
        Ok(())
    }
}

/// A dataset, in memory or on disk, with its labels.
#[derive(Debug, Clone)]
pub struct LabelledDataset {
    /// The images.
    pub images: Arc<dyn Dataset>,
    /// One label per image, or no labels.
    pub labels: Labels,
}

impl From<InMemoryDataset> for LabelledDataset {
    fn from(InMemoryDataset { images, labels }: InMemoryDataset) -> Self {
        Self { images: Arc::new(images), labels }
    }
}

impl<D: Dataset + 'static> From<D> for LabelledDataset {
    /// A dataset without labels.
    fn from(images: D) -> Self {
        Self { images: Arc::new(images), labels: Labels::None }
    }
}
