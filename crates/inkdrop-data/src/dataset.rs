//! Datasets: images in memory or on disk, with their labels.

use std::fmt::Debug;
use std::sync::Arc;

use ndarray::Array2;

use crate::{DataError, Images};

/// What each image shows.
#[derive(Debug, Clone, PartialEq)]
pub enum Labels {
    /// Nothing is known.
    None,
    /// One class per image.
    Classes {
        /// The class of each image, 0 to `count` − 1.
        ids: Vec<u32>,
        /// How many classes there are.
        count: usize,
    },
    /// One weight per class and image, `[N, K]`: usually one-hot, any finite number allowed.
    Context(Array2<f32>),
}

impl Labels {
    /// How many images are labelled; none for [`Labels::None`].
    pub fn len(&self) -> Option<usize> {
        match self {
            Labels::None => None,
            Labels::Classes { ids, .. } => Some(ids.len()),
            Labels::Context(rows) => Some(rows.nrows()),
        }
    }

    /// Whether no image is labelled.
    pub fn is_empty(&self) -> bool {
        self.len().unwrap_or(0) == 0
    }

    /// Whether these labels can stand beside `images` images.
    pub fn matches(&self, images: usize) -> bool {
        self.len().is_none_or(|len| len == images)
    }

    /// Checks that these labels can stand beside `images` images.
    ///
    /// # Errors
    /// [`DataError::Labels`] where there is not one label per image, a class is not below its
    /// count, or a weight is not finite.
    pub fn go_with(&self, images: usize) -> Result<(), DataError> {
        if !self.matches(images) {
            return Err(DataError::Labels(format!(
                "{} labels for {images} images, expected one label per image; check that both files belong together",
                self.len().unwrap_or(0)
            )));
        }
        self.check()
    }

    /// K, the number of classes that labels tell apart; none without labels.
    pub fn width(&self) -> Option<usize> {
        match self {
            Labels::None => None,
            Labels::Classes { count, .. } => Some(*count),
            Labels::Context(rows) => Some(rows.ncols()),
        }
    }

    /// Checks what labels can be wrong in by themselves: a class too high, a weight not finite.
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

/// Images with their labels.
#[derive(Debug, Clone, PartialEq)]
pub struct InMemoryDataset {
    /// The images, `[N, H, W, C]`.
    pub images: Images,
    /// Their labels, N of them or none at all.
    pub labels: Labels,
}

impl InMemoryDataset {
    /// Puts labels beside images.
    ///
    /// # Errors
    /// [`DataError::Labels`] where the lengths differ, a class is not below its count, or a
    /// weight is not finite.
    pub fn new(images: Images, labels: Labels) -> Result<Self, DataError> {
        labels.go_with(images.len())?;
        Ok(Self { images, labels })
    }

    /// How many images there are.
    pub fn len(&self) -> usize {
        self.images.len()
    }

    /// Whether there is no image.
    pub fn is_empty(&self) -> bool {
        self.images.is_empty()
    }

    /// K, the number of classes that labels tell apart; none without labels.
    pub fn context_width(&self) -> Option<usize> {
        self.labels.width()
    }
}

/// Images of one size that are read by their number, from several threads at once.
pub trait Dataset: Debug + Send + Sync {
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

impl Dataset for Images {
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
pub struct LabelledDataset {
    /// The images.
    pub images: Arc<dyn Dataset>,
    /// Their labels, one per image or none at all.
    pub labels: Labels,
}

impl From<InMemoryDataset> for LabelledDataset {
    fn from(InMemoryDataset { images, labels }: InMemoryDataset) -> Self {
        Self { images: Arc::new(images), labels }
    }
}
