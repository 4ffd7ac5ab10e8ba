//! Pictures, and writing them as PNG, GIF and APNG files.

mod apng;
mod gif;
mod png;
mod tiff;

pub use crate::contact_sheet::Grid;
pub use apng::write_apng;
pub use gif::{encode_gif, write_gif};
pub use png::{encode_png, is_whole_png, write_image, write_image_dir, write_png};
pub use tiff::write_tiff;

use crate::{DataError, Images};

/// A colour: red, green, blue.
pub type Rgb = [u8; 3];

/// An RGB picture with 8 bits per channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    width: usize,
    height: usize,
    pixels: Vec<u8>,
}

/// An alias of [`Picture`].
pub type Rgb8 = Picture;

impl Picture {
    /// A picture from bytes.
    ///
    /// # Shapes
    /// - `pixels`: `[height, width, 3]`, row-major.
    ///
    /// # Errors
    /// [`DataError::Picture`] if a side is 0 or the number of bytes does not fit the sides.
    pub fn new(width: usize, height: usize, pixels: Vec<u8>) -> Result<Self, DataError> {
        let bytes = width.checked_mul(height).and_then(|area| area.checked_mul(3));
        if width == 0 || height == 0 || bytes != Some(pixels.len()) {
            return Err(DataError::Picture(format!(
                "{} bytes for {width} x {height} pixels, expected width * height * 3 and no side of 0",
                pixels.len()
            )));
        }
        Ok(Self { width, height, pixels })
    }

    /// A picture of one image in 8 bits; gray images become RGB, and of more than three channels the first three are
    /// shown.
    ///
    /// # Errors
    /// [`DataError::Picture`] if there is no image `index`.
    pub fn of_image(images: &Images, index: usize) -> Result<Self, DataError> {
        let bytes = images.image(index);
        if bytes.is_empty() {
            return Err(DataError::Picture(format!(
                "image {index}, expected 0 to {}",
                images.len().saturating_sub(1)
            )));
        }
        Self::new(images.width(), images.height(), colours(bytes, images.channels()))
    }

    /// A picture from bytes of the right number.
    pub(crate) fn of_bytes(width: usize, height: usize, pixels: Vec<u8>) -> Self {
        debug_assert_eq!(pixels.len(), width * height * 3);
        Self { width, height, pixels }
    }

    /// A picture of one colour; a side of 0 becomes 1.
    pub fn filled(width: usize, height: usize, colour: Rgb) -> Self {
        let (width, height) = (width.max(1), height.max(1));
        Self { width, height, pixels: colour.repeat(width * height) }
    }

    /// Columns.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Rows.
    pub fn height(&self) -> usize {
        self.height
    }

    /// `[height, width, 3]`, row-major bytes.
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// `[height, width, 3]`, row-major bytes, without a copy.
    pub(crate) fn into_pixels(self) -> Vec<u8> {
        self.pixels
    }

    /// Fills a rectangle, clipped to the picture.
    pub(crate) fn fill(
        &mut self,
        left: usize,
        top: usize,
        width: usize,
        height: usize,
        colour: Rgb,
    ) {
        let right = left.saturating_add(width).min(self.width);
        for y in top..top.saturating_add(height).min(self.height) {
            for x in left..right {
                let at = (y * self.width + x) * 3;
                self.pixels[at..at + 3].copy_from_slice(&colour);
            }
        }
    }
}

/// HWC bytes as RGB: gray for one or two channels, else the first three.
pub(crate) fn colours(bytes: &[u8], channels: usize) -> Vec<u8> {
    match channels {
        1 | 2 => bytes.chunks_exact(channels).flat_map(|pixel| [pixel[0]; 3]).collect(),
        3 => bytes.to_vec(),
        _ => {
            bytes.chunks_exact(channels).flat_map(|pixel| [pixel[0], pixel[1], pixel[2]]).collect()
        }
    }
}

/// Width and height of the frames of an animation.
fn common_size(frames: &[Picture]) -> Result<(usize, usize), DataError> {
    let Some(first) = frames.first() else {
        return Err(DataError::Picture(
            "no frame for an animation, expected at least one".to_owned(),
        ));
    };
    let (width, height) = (first.width(), first.height());
    match frames.iter().enumerate().find(|(_, f)| (f.width(), f.height()) != (width, height)) {
        Some((i, frame)) => Err(DataError::Picture(format!(
            "frame {i} of {} x {} pixels, expected {width} x {height} as the first one",
            frame.width(),
            frame.height()
        ))),
        None => Ok((width, height)),
    }
}

/// Converts a value in [−1, 1] to a byte: `trunc(clamp((x + 1) * 127.5, 0, 255))`; NaN becomes 0.
pub fn to_u8(x: f32) -> u8 {
    // `as` truncates, and maps NaN to 0.
    ((x + 1.0) * 127.5).clamp(0.0, 255.0) as u8
}
