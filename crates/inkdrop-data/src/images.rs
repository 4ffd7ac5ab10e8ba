//! Images of one size in memory.

use ndarray::{Array4, ArrayView4, Axis};

use crate::DataError;

/// Largest number of channels of an image.
pub const MOST_CHANNELS: usize = 16;

/// Images of one size, as bytes.
///
/// # Shapes
/// - `[N, H, W, C]`, row-major; C is 1 (gray), 3 (red, green, blue), or another number up to
///   [`MOST_CHANNELS`]; values 0 to 255.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Images {
    pixels: Array4<u8>,
}

impl Images {
    /// Images from an array.
    ///
    /// # Shapes
    /// - `pixels`: `[N, H, W, C]` with C 1 to [`MOST_CHANNELS`]; N may be 0.
    ///
    /// # Errors
    /// [`DataError::Images`] if H or W is 0, or C is 0 or larger than [`MOST_CHANNELS`].
    pub fn new(pixels: Array4<u8>) -> Result<Self, DataError> {
        let (_, height, width, channels) = pixels.dim();
        if height == 0 || width == 0 || !(1..=MOST_CHANNELS).contains(&channels) {
            return Err(DataError::Images(format!(
                "shape {:?}, expected [N, H, W, C] with H and W at least 1 and C 1 to {MOST_CHANNELS}; \
                 move the channels last",
                pixels.shape()
            )));
        }
        // One memory layout for all, so that `image` can hand out slices.
        let pixels = if pixels.is_standard_layout() {
            pixels
        } else {
            pixels.as_standard_layout().into_owned()
        };
        Ok(Self { pixels })
    }

    /// Images from a valid array: `[N, H, W, 3]`, row-major.
    pub(crate) fn of_rgb(pixels: Array4<u8>) -> Self {
        debug_assert!(pixels.is_standard_layout());
        Self { pixels }
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.pixels.dim().0
    }

    /// True if there are no images.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Rows of each image.
    pub fn height(&self) -> usize {
        self.pixels.dim().1
    }

    /// Columns of each image.
    pub fn width(&self) -> usize {
        self.pixels.dim().2
    }

    /// Channels of each image, 1 to [`MOST_CHANNELS`].
    pub fn channels(&self) -> usize {
        self.pixels.dim().3
    }

    /// The shape [N, H, W, C], as tensors count axes.
    pub fn nhwc(&self) -> [i64; 4] {
        let (n, height, width, channels) = self.pixels.dim();
        [n, height, width, channels].map(|axis| axis as i64)
    }

    /// All images, `[N, H, W, C]`.
    pub fn view(&self) -> ArrayView4<'_, u8> {
        self.pixels.view()
    }

    /// All images as bytes, one after another, each in HWC order.
    pub fn bytes(&self) -> &[u8] {
        self.pixels.as_slice().unwrap_or_default()
    }

    /// The images of the given indices, in that order.
    ///
    /// # Errors
    /// [`DataError::Images`] if an index is not below [`Images::len`].
    pub fn select(&self, indices: &[usize]) -> Result<Self, DataError> {
        if let Some(index) = indices.iter().find(|&&index| index >= self.len()) {
            return Err(DataError::Images(format!(
                "image {index}, expected 0 to {}",
                self.len().saturating_sub(1)
            )));
        }
        Ok(Self { pixels: self.pixels.select(Axis(0), indices) })
    }

    /// The bytes of image `index` in HWC order; empty if there is no such image.
    pub fn image(&self, index: usize) -> &[u8] {
        let size = self.height() * self.width() * self.channels();
        let start = index.saturating_mul(size);
        self.bytes().get(start..start.saturating_add(size)).unwrap_or_default()
    }
}
