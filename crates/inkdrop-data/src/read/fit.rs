//! How a picture of one size becomes one of another.

use std::borrow::Cow;

use super::MOST_PIXELS;
use super::resample::{Filter, resized};
use crate::DataError;
use crate::picture::Picture;

/// The middle of a picture, at another size, as improved-diffusion's loader makes it: halved by a
/// box while it is at least twice as large, resized by a bicubic filter until it just covers, and
/// cropped at its centre; equal to what Pillow 13 makes of an RGB or gray picture, to the last bit.
///
/// Two kinds are made otherwise on purpose, for they are colours before they come here: of pictures
/// with a palette Pillow drops rows and columns, and what is transparent keeps its hidden colour.
///
/// # Errors
/// [`DataError::Picture`] where a side is 0, or the picture is so narrow that it would have more
/// than [`MOST_PIXELS`] pixels before it is cropped.
pub fn fit(picture: &Picture, width: usize, height: usize) -> Result<Picture, DataError> {
    let plan = Plan::new((picture.width(), picture.height()), (width, height))?;
    let mut fitted = Cow::Borrowed(picture);
    for _ in 0..plan.halvings {
        let (wide, high) = (fitted.width() / 2, fitted.height() / 2);
        fitted = Cow::Owned(resized(&fitted, wide, high, Filter::Box));
    }
    let fitted = resized(&fitted, plan.wide, plan.high, Filter::Bicubic);
    let (left, top) = ((plan.wide - width) / 2, (plan.high - height) / 2);
    let mut pixels = Vec::with_capacity(width * height * 3);
    for row in fitted.pixels().chunks_exact(plan.wide * 3).skip(top).take(height) {
        pixels.extend_from_slice(&row[left * 3..(left + width) * 3]);
    }
    Picture::new(width, height, pixels)
}

/// Whether a picture of some sides can be fitted to others.
pub(crate) fn check(from: (usize, usize), to: (usize, usize)) -> Result<(), DataError> {
    Plan::new(from, to).map(|_| ())
}

/// How a picture is fitted.
struct Plan {
    halvings: usize,
    /// Sides after that, before the crop.
    wide: usize,
    high: usize,
}

impl Plan {
    fn new(from: (usize, usize), (width, height): (usize, usize)) -> Result<Self, DataError> {
        if width == 0 || height == 0 {
            return Err(DataError::Picture(format!(
                "size {width} x {height}, expected at least 1 x 1"
            )));
        }
        let (mut halvings, mut now) = (0, from);
        while now.0 / 2 >= width && now.1 / 2 >= height {
            (halvings, now) = (halvings + 1, (now.0 / 2, now.1 / 2));
        }
        let ratio = |to: usize, from: usize| to as f64 / from as f64;
        let scale = ratio(width, now.0).max(ratio(height, now.1));
        // Python's `round` takes a half to the even side.
        let side = |from: usize| (from as f64 * scale).round_ties_even() as usize;
        let (wide, high) = (side(now.0).max(width), side(now.1).max(height));
        match (wide as u64).checked_mul(high as u64) {
            Some(..=MOST_PIXELS) => Ok(Self { halvings, wide, high }),
            _ => Err(DataError::Picture(format!(
                "{} x {} pixels are too narrow to be cropped to {width} x {height}; crop the picture first",
                from.0, from.1
            ))),
        }
    }
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
