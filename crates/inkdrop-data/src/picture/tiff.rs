//! TIFF files of images, one page for each, in 8 or 16 bits and 1 to 16 channels.

use std::io;
use std::path::Path;

use tiff::TiffError;
use tiff::encoder::colortype::{ColorType, Gray8, Gray16, RGB8, RGB16};
use tiff::encoder::{TiffEncoder, TiffValue};
use tiff::tags::ExtraSamples;

use crate::output::{WriteSeek, write_atomic};
use crate::{DataError, Images};

/// Writes images as a TIFF file, one page for each, uncompressed. [`arrays::load`](crate::arrays::load) returns them.
///
/// 3 channels are RGB, 4 RGBA, other numbers gray and extra samples, whose meaning is unspecified.
///
/// # Errors
/// [`DataError::Images`] if there is no image, or they fill more than the 4 GiB of a TIFF file;
/// [`DataError::Write`] if the file cannot be written.
pub fn write_tiff(path: impl AsRef<Path>, images: &Images) -> Result<(), DataError> {
    const MOST: u64 = u32::MAX as u64 - (64 << 20); // room for the headers of the pages
    let values = images.nhwc().iter().product::<i64>() as u64;
    if images.is_empty() || values * images.depth().bytes() as u64 > MOST {
        return Err(DataError::Images(format!(
            "{} images in a TIFF file, expected at least one, and less than 4 GiB; write x.npz",
            images.len()
        )));
    }
    write_atomic(path.as_ref(), |file| pages(file, images).map_err(io::Error::other))
}

fn pages(file: &mut dyn WriteSeek, images: &Images) -> Result<(), TiffError> {
    let mut encoder = TiffEncoder::new(file)?;
    let size = images.height() * images.width() * images.channels();
    let is_rgb = matches!(images.channels(), 3 | 4);
    match images.wide() {
        Some(wide) => {
            for image in wide.as_slice().unwrap_or_default().chunks_exact(size) {
                match is_rgb {
                    true => page::<RGB16>(&mut encoder, images, image)?,
                    false => page::<Gray16>(&mut encoder, images, image)?,
                }
            }
        }
        None => {
            for image in images.bytes().chunks_exact(size) {
                match is_rgb {
                    true => page::<RGB8>(&mut encoder, images, image)?,
                    false => page::<Gray8>(&mut encoder, images, image)?,
                }
            }
        }
    }
    Ok(())
}

/// Writes one image, `[H, W, C]`.
fn page<C: ColorType>(
    encoder: &mut TiffEncoder<&mut dyn WriteSeek>,
    images: &Images,
    values: &[C::Inner],
) -> Result<(), TiffError>
where
    [C::Inner]: TiffValue,
{
    let (width, height) = (u32::try_from(images.width())?, u32::try_from(images.height())?);
    let mut page = encoder.new_image::<C>(width, height)?;
    let extra = images.channels() - C::BITS_PER_SAMPLE.len();
    if extra > 0 {
        // Readers drop unspecified samples after RGB.
        let kind = match C::BITS_PER_SAMPLE.len() {
            3 => ExtraSamples::UnassociatedAlpha,
            _ => ExtraSamples::Unspecified,
        };
        page.extra_samples(&vec![kind; extra])?;
    }
    page.write_data(values)
}
