//! How a picture of one size becomes one of another.

use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};

use super::MOST_PIXELS;
use crate::DataError;
use crate::picture::Picture;

/// The middle of a picture, at another size, as improved-diffusion's loader makes it: halved by a
/// box while it is at least twice as large, resized by a bicubic filter until it just covers, and
/// cropped at its centre.
///
/// # Errors
/// [`DataError::Picture`] where a side is 0, or the picture is so narrow that it would have more
/// than [`MOST_PIXELS`] pixels before it is cropped.
pub fn fit(picture: &Picture, width: usize, height: usize) -> Result<Picture, DataError> {
    if width == 0 || height == 0 {
        return Err(DataError::Picture(format!(
            "size {width} x {height}, expected at least 1 x 1"
        )));
    }
    let mut fitted = picture.clone();
    while fitted.width() >= 2 * width && fitted.height() >= 2 * height {
        fitted = resized(&fitted, fitted.width() / 2, fitted.height() / 2, FilterType::Box)?;
    }
    let ratio = |to: usize, from: usize| to as f64 / from as f64;
    let scale = ratio(width, fitted.width()).max(ratio(height, fitted.height()));
    let side = |from: usize, least: usize| ((from as f64 * scale).round() as usize).max(least);
    let (wide, high) = (side(fitted.width(), width), side(fitted.height(), height));
    if wide as u64 * high as u64 > MOST_PIXELS {
        return Err(DataError::Picture(format!(
            "{} x {} pixels are too narrow to be cropped to {width} x {height}; crop the picture first",
            picture.width(),
            picture.height()
        )));
    }
    fitted = resized(&fitted, wide, high, FilterType::CatmullRom)?;
    let (left, top) = ((wide - width) / 2, (high - height) / 2);
    let white = Picture::filled(width, height, [255; 3]);
    Ok(place(&fitted, white, (-(left as i64), -(top as i64))).0)
}

fn resized(
    picture: &Picture,
    width: usize,
    height: usize,
    filter: FilterType,
) -> Result<Picture, DataError> {
    let failed = |error: &dyn std::fmt::Display| {
        let (w, h) = (picture.width(), picture.height());
        DataError::Picture(format!("cannot make {width} x {height} of {w} x {h} pixels: {error}"))
    };
    let side = |side: usize| u32::try_from(side).map_err(|error| failed(&error));
    let (from_width, from_height) = (side(picture.width())?, side(picture.height())?);
    let from = ImageRef::new(from_width, from_height, picture.pixels(), PixelType::U8x3);
    let mut to = Image::new(side(width)?, side(height)?, PixelType::U8x3);
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(filter)).use_alpha(false);
    let from = from.map_err(|error| failed(&error))?;
    Resizer::new().resize(&from, &mut to, &options).map_err(|error| failed(&error))?;
    Picture::new(width, height, to.into_vec())
}

/// Puts a picture on a canvas, and cuts off what lies outside; which pixels of the canvas it
/// covers, row by row.
///
/// - at: column and row of its upper left corner on the canvas; may be negative
pub fn place(picture: &Picture, canvas: Picture, at: (i64, i64)) -> (Picture, Vec<bool>) {
    let (width, height) = (canvas.width(), canvas.height());
    let mut covered = vec![false; width * height];
    let mut pixels = canvas.pixels().to_vec();
    let inside = |position: usize, from: i64, length: usize| {
        let place = i64::try_from(position).ok()?.checked_sub(from)?;
        usize::try_from(place).ok().filter(|&place| place < length)
    };
    for y in 0..height {
        let Some(row) = inside(y, at.1, picture.height()) else { continue };
        for x in 0..width {
            let Some(column) = inside(x, at.0, picture.width()) else { continue };
            let (to, from) = (y * width + x, row * picture.width() + column);
            pixels[to * 3..to * 3 + 3].copy_from_slice(&picture.pixels()[from * 3..from * 3 + 3]);
            covered[to] = true;
        }
    }
    (Picture::of_bytes(width, height, pixels), covered)
}
