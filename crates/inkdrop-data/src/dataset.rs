//! Which labels go with a set of images.

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
pub struct Dataset {
    /// The images, `[N, H, W, C]`.
    pub images: Images,
    /// Their labels, N of them or none at all.
    pub labels: Labels,
}

impl Dataset {
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
