//! Images of one size in memory.

use std::borrow::Cow;

use ndarray::{Array4, ArrayView4, Axis, concatenate};
use serde::{Deserialize, Serialize};

use crate::DataError;

/// Largest number of channels of an image.
pub const MOST_CHANNELS: usize = 16;

/// Bits of a value of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub enum Depth {
    /// Values 0 to 255.
    #[default]
    Eight,
    /// Values 0 to 65535.
    Sixteen,
}

impl Depth {
    /// Bytes per value.
    pub fn bytes(self) -> usize {
        match self {
            Self::Eight => 1,
            Self::Sixteen => 2,
        }
    }
}

impl From<Depth> for u8 {
    fn from(depth: Depth) -> Self {
        8 * depth.bytes() as u8
    }
}

impl TryFrom<u8> for Depth {
    type Error = String;

    fn try_from(bits: u8) -> Result<Self, String> {
        match bits {
            8 => Ok(Self::Eight),
            16 => Ok(Self::Sixteen),
            _ => Err(format!("{bits} bits per value, expected 8 or 16")),
        }
    }
}

/// Size and depth of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImageForm {
    /// `[H, W, C]`
    pub shape: [usize; 3],
    /// Bits of a value.
    pub depth: Depth,
}

impl ImageForm {
    /// The form of images.
    pub fn of(images: &Images) -> Self {
        let shape = [images.height(), images.width(), images.channels()];
        Self { shape, depth: images.depth() }
    }
}

impl From<[usize; 3]> for ImageForm {
    /// `[H, W, C]` of 8 bits.
    fn from(shape: [usize; 3]) -> Self {
        Self { shape, depth: Depth::Eight }
    }
}

/// A 16-bit value as 8 bits: v / 257, rounded.
pub(crate) fn narrowed(value: u16) -> u8 {
    ((u32::from(value) + 128) / 257) as u8
}

/// The luma of a colour: 0.299 R + 0.587 G + 0.114 B (ITU-R BT.601), with the rounding of Pillow's mode `L`.
pub(crate) fn luma([r, g, b]: [u64; 3]) -> u64 {
    (19595 * r + 38470 * g + 7471 * b + 32768) >> 16
}

/// Images of one size, as values of 8 or 16 bits.
///
/// Values of 16 bits are kept exactly ([`Images::wide`]); [`Images::view`] shows them in 8 bits.
///
/// # Shapes
/// - `[N, H, W, C]`, row-major; C is 1 (gray), 3 (red, green, blue), or another number up to
///   [`MOST_CHANNELS`] unless H is 1 or 3; values 0 to 255, or to 65535.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Images {
    pixels: Array4<u8>,
    /// The same values in 16 bits, if they have so many.
    wide: Option<Array4<u16>>,
}

/// One memory layout for all, so that [`Images::image`] can hand out slices.
fn row_major<T: Clone>(pixels: Array4<T>) -> Array4<T> {
    match pixels.is_standard_layout() {
        true => pixels,
        false => pixels.as_standard_layout().into_owned(),
    }
}

/// True for 1 to [`MOST_CHANNELS`] channels. Images of 1 or 3 rows need 1 or 3 channels: their channels usually stand
/// in the place of the rows.
pub(crate) fn plausible_channels(height: usize, channels: usize) -> bool {
    matches!(channels, 1 | 3)
        || ((1..=MOST_CHANNELS).contains(&channels) && !matches!(height, 1 | 3))
}

fn check<T>(pixels: &Array4<T>) -> Result<(), DataError> {
    let (_, height, width, channels) = pixels.dim();
    if height == 0 || width == 0 || !plausible_channels(height, channels) {
        return Err(DataError::Images(format!(
            "shape {:?}, expected [N, H, W, C] with H and W at least 1 and C 1 to {MOST_CHANNELS}; \
             move the channels last",
            pixels.shape()
        )));
    }
    Ok(())
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
        check(&pixels)?;
        Ok(Self { pixels: row_major(pixels), wide: None })
    }

    /// Images from an array of 16-bit values.
    ///
    /// # Shapes
    /// - `pixels`: as for [`Images::new`]
    ///
    /// # Errors
    /// As for [`Images::new`].
    pub fn of_wide(pixels: Array4<u16>) -> Result<Self, DataError> {
        check(&pixels)?;
        let wide = row_major(pixels);
        Ok(Self { pixels: wide.mapv(narrowed), wide: Some(wide) })
    }

    /// Images from bytes, as [`Images::raw_bytes`] has them.
    ///
    /// - shape: `[N, H, W, C]`
    ///
    /// # Errors
    /// As for [`Images::new`]; or if the bytes do not fill the shape.
    pub fn of_bytes(shape: [usize; 4], depth: Depth, bytes: Vec<u8>) -> Result<Self, DataError> {
        let fill = |error: ndarray::ShapeError| {
            DataError::Images(format!("pixels don't fill their shape: {error}"))
        };
        match depth {
            Depth::Eight => Self::new(Array4::from_shape_vec(shape, bytes).map_err(fill)?),
            Depth::Sixteen => {
                let (pairs, rest) = bytes.as_chunks();
                if !rest.is_empty() {
                    return Err(DataError::Images(format!(
                        "{} bytes of 16-bit values, expected an even number",
                        bytes.len()
                    )));
                }
                let values = pairs.iter().map(|&pair| u16::from_le_bytes(pair)).collect();
                Self::of_wide(Array4::from_shape_vec(shape, values).map_err(fill)?)
            }
        }
    }

    /// Images from a valid array: `[N, H, W, 3]`, row-major.
    pub(crate) fn of_rgb(pixels: Array4<u8>) -> Self {
        debug_assert!(pixels.is_standard_layout());
        Self { pixels, wide: None }
    }

    /// Images of several batches, one after another.
    ///
    /// # Errors
    /// [`DataError::Images`] if the batches differ in size or depth, or there is none.
    pub fn concat(batches: &[&Self]) -> Result<Self, DataError> {
        let problem = "batches of different sizes or depths, expected one for all";
        let differ = |_| DataError::Images(problem.to_owned());
        if batches.iter().any(|batch| batch.depth() != batches[0].depth()) {
            return Err(DataError::Images(problem.to_owned()));
        }
        let views: Option<Vec<_>> =
            batches.iter().map(|batch| batch.wide.as_ref().map(Array4::view)).collect();
        match views.filter(|views| !views.is_empty()) {
            Some(views) => Self::of_wide(concatenate(Axis(0), &views).map_err(differ)?),
            None => {
                let views: Vec<_> = batches.iter().map(|batch| batch.view()).collect();
                Self::new(concatenate(Axis(0), &views).map_err(differ)?)
            }
        }
    }

    /// The images in a depth: 8-bit values v become 257·v, which is exact; 16-bit values v become v / 257, rounded.
    pub fn with_depth(self, depth: Depth) -> Self {
        let wide = match (depth, self.wide) {
            (Depth::Eight, _) => None,
            (Depth::Sixteen, Some(wide)) => Some(wide),
            (Depth::Sixteen, None) => Some(self.pixels.mapv(|value| 257 * u16::from(value))),
        };
        Self { pixels: self.pixels, wide }
    }

    /// The images with a number of channels: gray becomes RGB, and RGB becomes its luma, in its own depth.
    ///
    /// # Errors
    /// [`DataError::Images`] for other numbers than 1 and 3, unless the images have so many.
    pub fn with_channels(self, channels: usize) -> Result<Self, DataError> {
        let (count, height, width, found) = self.pixels.dim();
        let shape = (count, height, width, channels);
        match (found, channels) {
            _ if found == channels => Ok(self),
            (1, 3) => match self.wide {
                Some(wide) => {
                    Self::of_wide(Array4::from_shape_fn(shape, |(n, y, x, _)| wide[[n, y, x, 0]]))
                }
                None => Self::new(Array4::from_shape_fn(shape, |(n, y, x, _)| {
                    self.pixels[[n, y, x, 0]]
                })),
            },
            (3, 1) => match self.wide {
                Some(wide) => Self::of_wide(Array4::from_shape_fn(shape, |(n, y, x, _)| {
                    luma([0, 1, 2].map(|c| wide[[n, y, x, c]].into())) as u16
                })),
                None => Self::new(Array4::from_shape_fn(shape, |(n, y, x, _)| {
                    luma([0, 1, 2].map(|c| self.pixels[[n, y, x, c]].into())) as u8
                })),
            },
            _ => Err(DataError::Images(format!(
                "{found} channels, expected {channels}: gray becomes RGB and RGB gray, other numbers stay"
            ))),
        }
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

    /// Bits of a value.
    pub fn depth(&self) -> Depth {
        match self.wide {
            None => Depth::Eight,
            Some(_) => Depth::Sixteen,
        }
    }

    /// The shape [N, H, W, C], as tensors count axes.
    pub fn nhwc(&self) -> [i64; 4] {
        let (n, height, width, channels) = self.pixels.dim();
        [n, height, width, channels].map(|axis| axis as i64)
    }

    /// All images in 8 bits, `[N, H, W, C]`; values of 16 bits v as v / 257, rounded.
    pub fn view(&self) -> ArrayView4<'_, u8> {
        self.pixels.view()
    }

    /// All values of images of 16 bits, `[N, H, W, C]`; `None` for 8 bits.
    pub fn wide(&self) -> Option<ArrayView4<'_, u16>> {
        self.wide.as_ref().map(Array4::view)
    }

    /// All images in 8 bits, one after another, each in HWC order.
    pub fn bytes(&self) -> &[u8] {
        self.pixels.as_slice().unwrap_or_default()
    }

    /// All values with their own depth, one image after another, each in HWC order; 16-bit values are little-endian.
    pub fn raw_bytes(&self) -> Cow<'_, [u8]> {
        match &self.wide {
            None => self.bytes().into(),
            Some(wide) => wide.iter().flat_map(|value| value.to_le_bytes()).collect(),
        }
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
        Ok(Self {
            pixels: self.pixels.select(Axis(0), indices),
            wide: self.wide.as_ref().map(|wide| wide.select(Axis(0), indices)),
        })
    }

    /// The 8-bit values of image `index` in HWC order; empty if there is no such image.
    pub fn image(&self, index: usize) -> &[u8] {
        let size = self.height() * self.width() * self.channels();
        let start = index.saturating_mul(size);
        self.bytes().get(start..start.saturating_add(size)).unwrap_or_default()
    }

    /// The values of image `index` with their own depth, as in [`Images::raw_bytes`].
    pub(crate) fn raw_image(&self, index: usize) -> Cow<'_, [u8]> {
        let Some(wide) = &self.wide else { return self.image(index).into() };
        let size = self.height() * self.width() * self.channels();
        let start = index.saturating_mul(size);
        let values = wide.as_slice().unwrap_or_default();
        let values = values.get(start..start.saturating_add(size)).unwrap_or_default();
        values.iter().flat_map(|value| value.to_le_bytes()).collect()
    }
}
