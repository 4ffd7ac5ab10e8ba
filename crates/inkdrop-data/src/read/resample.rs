//! How the sides of a picture are changed, to the bit as Pillow does it.
//!
//! A convolution along the rows, then one along the columns, with rounding to 8 bits in between;
//! weights are integers in 2^22ths (Pillow 13, `Resample.c`: what it computes, not how).

use std::f64;

use crate::picture::Picture;

const BITS: u32 = 22;
const HALF: i32 = 1 << (BITS - 1);

/// How far pixels count.
#[derive(Debug, Clone, Copy)]
pub(super) enum Filter {
    /// The mean of what a pixel covers.
    Box,
    /// Keys 1981, "Cubic convolution interpolation", with a = −1/2.
    Bicubic,
}

impl Filter {
    /// Distance from which on the weight is 0, in pixels of the coarser picture.
    fn support(self) -> f64 {
        match self {
            Self::Box => 0.5,
            Self::Bicubic => 2.0,
        }
    }

    /// The weight at a distance.
    fn weight(self, x: f64) -> f64 {
        let d = x.abs();
        match self {
            // Of a pixel between two, the left one has it.
            Self::Box => f64::from(u8::from(x > -0.5 && x <= 0.5)),
            Self::Bicubic if d < 1.0 => (1.5 * d - 2.5) * d * d + 1.0,
            Self::Bicubic if d < 2.0 => ((d - 5.0) * d + 8.0) * d * -0.5 + 2.0,
            Self::Bicubic => 0.0,
        }
    }
}

/// What a place on the new side is made of.
struct Tap {
    /// The first place on the old side.
    start: usize,
    /// Weights of the places from there on, in 2^22ths.
    weights: Vec<i32>,
}

/// The taps of a side of length `from` that becomes one of length `to`.
fn taps(from: usize, to: usize, filter: Filter) -> Vec<Tap> {
    let scale = from as f64 / to as f64;
    let stretch = scale.max(1.0);
    let support = filter.support() * stretch;
    let tap = |place: usize| {
        let centre = (place as f64 + 0.5) * scale;
        // `as` truncates, and takes what is negative for 0.
        let start = (centre - support + 0.5) as usize;
        let end = ((centre + support + 0.5) as usize).min(from);
        let weight = |x: usize| filter.weight((x as f64 - centre + 0.5) / stretch);
        let weights: Vec<f64> = (start..end).map(weight).collect();
        let sum: f64 = weights.iter().sum();
        let fixed = |weight: &f64| (weight / sum * f64::from(1 << BITS)).round() as i32;
        Tap { start, weights: weights.iter().map(fixed).collect() }
    };
    (0..to).map(tap).collect()
}

fn rounded(sum: i32) -> u8 {
    (sum >> BITS).clamp(0, 255) as u8
}

/// A picture at another size; sides at least 1.
///
/// Which side comes first decides what is rounded in between. Pillow up to 12 begins with the rows
/// always; 13 begins with the columns where it drops more than twice as many rows as columns, and
/// so does this. (Found by trying sizes: 0 of 1462 at random went the other way.)
pub(super) fn resized(picture: &Picture, width: usize, height: usize, filter: Filter) -> Picture {
    let lost = |from: usize, to: usize| from as i64 - to as i64;
    let (columns, rows) = (lost(picture.width(), width), lost(picture.height(), height));
    let columns_first = rows > 0 && rows > 2 * columns;
    let by_rows = |picture: &Picture| along_rows(picture, width, filter);
    let by_columns = |picture: &Picture| along_columns(picture, height, filter);
    match (columns != 0, rows != 0) {
        (false, false) => picture.clone(),
        (true, false) => by_rows(picture),
        (false, true) => by_columns(picture),
        (true, true) if columns_first => by_rows(&by_columns(picture)),
        (true, true) => by_columns(&by_rows(picture)),
    }
}

/// Each row at another width.
fn along_rows(picture: &Picture, width: usize, filter: Filter) -> Picture {
    let taps = taps(picture.width(), width, filter);
    let mut pixels = Vec::with_capacity(picture.height() * width * 3);
    for row in picture.pixels().chunks_exact(picture.width() * 3) {
        for Tap { start, weights } in &taps {
            let mut sum = [HALF; 3];
            for (pixel, &weight) in row[start * 3..].chunks_exact(3).zip(weights) {
                for (sum, &value) in sum.iter_mut().zip(pixel) {
                    *sum += i32::from(value) * weight;
                }
            }
            pixels.extend(sum.map(rounded));
        }
    }
    Picture::of_bytes(width, picture.height(), pixels)
}

/// All columns at another height.
fn along_columns(picture: &Picture, height: usize, filter: Filter) -> Picture {
    let length = picture.width() * 3;
    let mut pixels = Vec::with_capacity(height * length);
    let mut sums = vec![HALF; length];
    for Tap { start, weights } in taps(picture.height(), height, filter) {
        sums.fill(HALF);
        let rows = picture.pixels()[start * length..].chunks_exact(length);
        for (row, &weight) in rows.zip(&weights) {
            for (sum, &value) in sums.iter_mut().zip(row) {
                *sum += i32::from(value) * weight;
            }
        }
        pixels.extend(sums.iter().map(|&sum| rounded(sum)));
    }
    Picture::of_bytes(picture.width(), height, pixels)
}
