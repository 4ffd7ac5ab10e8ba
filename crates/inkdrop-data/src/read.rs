//! Files of a user's images: finding, decoding and resizing them to the size that is needed.

use std::path::Path;

use ndarray::Array4;

pub use crate::decode::{
    Animation, Decoded, MOST_PIXELS, Orientation, PictureOptions, Transparent, decode_picture,
    decode_picture_bytes, read_picture,
};
pub use crate::files::{FoundFiles, files, find, find_images};
pub use crate::resize::{fit, fit_images, place};

use crate::arrays;
use crate::decode::{decode_image, read_file};
use crate::images::luma as luma_of;
use crate::picture::Picture;
use crate::{DataError, Images};

/// The images of a file, with remarks on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecodedImages {
    /// Images of the file's own depth.
    pub images: Images,
    /// What was amiss with the file or left out of it.
    pub remarks: Vec<String>,
}

/// Reads the images of a file in 8 or 16 bits, as the file has them: a picture, each page of a TIFF file, or each image
/// of a .npy file.
///
/// For 1 or 3 channels, pictures are gray or RGB, as for [`decode_picture`] but without rounding to 8 bits. For other
/// numbers, the samples are taken as they are stored, as [`arrays::load`] does.
///
/// - channels: how many are needed; [`Images::with_channels`] converts between 1 and 3
///
/// # Errors
/// [`DataError::Read`] if the file cannot be read, [`DataError::File`] if it is damaged or has another format.
pub fn decode_images(
    path: impl AsRef<Path>,
    channels: usize,
    options: &PictureOptions,
) -> Result<DecodedImages, DataError> {
    let path = path.as_ref();
    let bytes = read_file(path)?;
    if !matches!(channels, 1 | 3) || arrays::has_several(&bytes) {
        return Ok(DecodedImages { images: arrays::of_bytes(path, bytes)?, remarks: Vec::new() });
    }
    let (images, remarks) = decode_image(path, &bytes, options)?;
    Ok(DecodedImages { images, remarks })
}

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
    let pixels = picture.pixels().as_chunks::<3>().0;
    pixels.iter().map(|rgb| luma_of(rgb.map(u64::from)) as u8)
}
