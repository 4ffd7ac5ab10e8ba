//! Picture files of a user: finding, decoding and resizing them to the size that is needed.

use ndarray::Array4;

pub use crate::decode::{
    Animation, Decoded, MOST_PIXELS, Orientation, PictureOptions, Transparent, decode_picture,
    decode_picture_bytes, read_picture,
};
pub use crate::files::{FoundFiles, files, find};
pub use crate::resize::{fit, place};

use crate::picture::Picture;
use crate::{DataError, Images};

/// Converts pictures of one size to images.
///
/// - channels: 3 for RGB, or 1 for gray by [`luma`]
///
/// # Shapes
/// - returns `[N, height, width, channels]`
///
/// # Errors
/// [`DataError::Images`] if there is no picture, sizes differ, or `channels` is neither 1 nor 3.
pub fn images(pictures: &[Picture], channels: usize) -> Result<Images, DataError> {
    let Some(first) = pictures.first() else {
        return Err(DataError::Images("no picture, expected at least one".to_owned()));
    };
    let (width, height) = (first.width(), first.height());
    if let Some(i) = pictures.iter().position(|p| (p.width(), p.height()) != (width, height)) {
        return Err(DataError::Images(format!(
            "picture {i} is {} x {} pixels, the first one {width} x {height}; expected one size for all",
            pictures[i].width(),
            pictures[i].height()
        )));
    }
    let bytes: Vec<u8> = match channels {
        1 => pictures.iter().flat_map(luma).collect(),
        _ => pictures.iter().flat_map(|picture| picture.pixels().iter().copied()).collect(),
    };
    let shape = (pictures.len(), height, width, channels);
    let pixels = Array4::from_shape_vec(shape, bytes)
        .map_err(|_| DataError::Images(format!("{channels} channels, expected 1 or 3")))?;
    Images::new(pixels)
}

/// The luma of each pixel, 0 to 255, row by row: 0.299 R + 0.587 G + 0.114 B (ITU-R BT.601), with
/// the rounding of Pillow's mode `L`.
pub fn luma(picture: &Picture) -> impl Iterator<Item = u8> {
    picture.pixels().chunks_exact(3).map(|rgb| {
        let [r, g, b] = [rgb[0], rgb[1], rgb[2]].map(u32::from);
        ((19595 * r + 38470 * g + 7471 * b + 32768) >> 16) as u8
    })
}
