//! How the picture files of a user become images of the size and the channels that are needed.

mod file;
mod fit;
mod gif;
mod jpeg;
mod kind;
mod listing;
mod pixels;
mod png;
mod resample;

pub use file::read_picture;
pub use fit::{fit, place};
pub use listing::files;

pub(crate) use file::sides;
pub(crate) use fit::check as check_fit;
pub(crate) use listing::{is_hidden, is_picture, of_folder};

use ndarray::Array4;

use crate::picture::Picture;
use crate::{DataError, Images};

/// The most pixels of a picture that is read: 8192 x 8192.
pub const MOST_PIXELS: u64 = 8192 * 8192;

/// Pictures of one size as images.
///
/// - channels: 3, or 1 for gray, which is [`luma`]
///
/// # Shapes
/// - returns `[N, height, width, channels]`
///
/// # Errors
/// [`DataError::Images`] where there is no picture, their sizes differ, or there are other
/// channels.
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

/// The brightness of each pixel, 0 to 255, row by row: 0.299 R + 0.587 G + 0.114 B (ITU-R BT.601)
/// in 65536ths, as Pillow's mode `L` has it.
pub fn luma(picture: &Picture) -> impl Iterator<Item = u8> {
    picture.pixels().chunks_exact(3).map(|rgb| {
        let [r, g, b] = [rgb[0], rgb[1], rgb[2]].map(u32::from);
        ((19595 * r + 38470 * g + 7471 * b + 32768) >> 16) as u8
    })
}
