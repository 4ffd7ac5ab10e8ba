//! From coefficients to pixels: samples, chroma upsampling and colour conversion, with the integer
//! arithmetic of libjpeg-turbo (`jdsample.c` with fancy upsampling, `jdcolor.c`).

use super::Problem;
use super::idct::samples;
use super::markers::{Colours, Component, Frame};

/// The RGB pixels of a frame, `[height, width, 3]`.
pub(super) fn render(frame: Frame, colours: Colours) -> Result<Vec<u8>, Problem> {
    let Frame { width, height, most_h, most_v, components, .. } = frame;
    let mut planes = Vec::new();
    for component in components {
        planes.push(Plane::new(component, (most_h, most_v))?);
    }
    // Upsampling gives whole samples of all components, a little more than the width.
    let mut rows = vec![vec![0; width + 8 * most_h]; planes.len()];
    let mut pixels = vec![0; width * height * 3];
    for (y, pixels) in pixels.chunks_exact_mut(width * 3).enumerate() {
        for (plane, row) in planes.iter().zip(&mut rows) {
            plane.upsample(y, row);
        }
        convert(&rows, colours, pixels);
    }
    Ok(pixels)
}

/// The samples of a component.
struct Plane {
    width: usize,
    height: usize,
    /// Samples from a row to the next.
    stride: usize,
    samples: Vec<u8>,
    /// Pixels for each sample, across and down.
    h: usize,
    v: usize,
}

impl Plane {
    fn new(component: Component, (most_h, most_v): (usize, usize)) -> Result<Self, Problem> {
        let Component { width, height, blocks_wide, blocks_high, coefficients, h, v, .. } =
            component;
        let table = component.quantisation.ok_or("a quantisation table is missing")?;
        let stride = blocks_wide * 8;
        let mut plane = vec![0; stride * blocks_high * 8];
        for (index, block) in coefficients.as_chunks().0.iter().enumerate() {
            let start = index / blocks_wide * 8 * stride + index % blocks_wide * 8;
            for (row, samples) in samples(block, &table).chunks_exact(8).enumerate() {
                let at = start + row * stride;
                plane[at..at + 8].copy_from_slice(samples);
            }
        }
        Ok(Self { width, height, stride, samples: plane, h: most_h / h, v: most_v / v })
    }

    fn row(&self, y: usize) -> &[u8] {
        let start = y.min(self.height - 1) * self.stride;
        &self.samples[start..start + self.width]
    }

    /// Row y / 2, and the row that is the next nearest to pixel row y.
    fn nearest_rows(&self, y: usize) -> (&[u8], &[u8]) {
        let near = y / 2;
        let far = if y.is_multiple_of(2) { near.saturating_sub(1) } else { near + 1 };
        (self.row(near), self.row(far))
    }

    /// Row y of pixels. Chroma at half the resolution is interpolated by the triangle filter: 3/4 of the nearest
    /// sample and 1/4 of the next, in each direction; other ratios are repeated.
    fn upsample(&self, y: usize, out: &mut [u8]) {
        match (self.h, self.v) {
            (1, 1) => out[..self.width].copy_from_slice(self.row(y)),
            (1, 2) => {
                let (near, far) = self.nearest_rows(y);
                let bias = 1 + (y % 2) as u16;
                for (to, (&near, &far)) in out.iter_mut().zip(near.iter().zip(far)) {
                    *to = ((3 * u16::from(near) + u16::from(far) + bias) >> 2) as u8;
                }
            }
            (2, 1) if self.width > 2 => {
                let sums: Vec<u16> = self.row(y).iter().map(|&sample| u16::from(sample)).collect();
                across(&sums, 2, [1, 2], out);
            }
            (2, 2) if self.width > 2 => {
                let (near, far) = self.nearest_rows(y);
                let sum = |(&near, &far)| 3 * u16::from(near) + u16::from(far);
                let sums: Vec<u16> = near.iter().zip(far).map(sum).collect();
                across(&sums, 4, [8, 7], out);
            }
            (h, v) => {
                for (to, &sample) in out.chunks_exact_mut(h).zip(self.row(y / v)) {
                    to.fill(sample);
                }
            }
        }
    }
}

/// Doubles a row: (3 · near + far + bias) / 2^shift for the pixel left and right of each sample.
fn across(sums: &[u16], shift: u32, [left, right]: [u16; 2], out: &mut [u8]) {
    let last = sums.len() - 1;
    for (i, (to, &near)) in out.chunks_exact_mut(2).zip(sums).enumerate() {
        let (before, after) = (sums[i.saturating_sub(1)], sums[(i + 1).min(last)]);
        to[0] = ((3 * near + before + left) >> shift) as u8;
        to[1] = ((3 * near + after + right) >> shift) as u8;
    }
}

/// Converts a row of each component to RGB.
fn convert(rows: &[Vec<u8>], colours: Colours, pixels: &mut [u8]) {
    let [first, rest @ ..] = rows else { return };
    let pixels = pixels.chunks_exact_mut(3).zip(first);
    match (colours, rest) {
        (Colours::Rgb, [g, b]) => {
            for ((to, &r), (&g, &b)) in pixels.zip(g.iter().zip(b)) {
                to.copy_from_slice(&[r, g, b]);
            }
        }
        (Colours::YCbCr, [cb, cr]) => {
            for ((to, &y), (&cb, &cr)) in pixels.zip(cb.iter().zip(cr)) {
                to.copy_from_slice(&rgb(y, cb, cr));
            }
        }
        (Colours::Cmyk, [m, y, k]) => {
            for ((to, &c), ((&m, &y), &k)) in pixels.zip(m.iter().zip(y).zip(k)) {
                to.copy_from_slice(&[c, m, y].map(|ink| printed(ink, k)));
            }
        }
        (Colours::Ycck, [cb, cr, k]) => {
            for ((to, &y), ((&cb, &cr), &k)) in pixels.zip(cb.iter().zip(cr).zip(k)) {
                to.copy_from_slice(&rgb(y, cb, cr).map(|colour| printed(255 - colour, k)));
            }
        }
        _ => pixels.for_each(|(to, &gray)| to.fill(gray)),
    }
}

/// YCbCr to RGB (JFIF 1.02), in 16 fraction bits.
fn rgb(y: u8, cb: u8, cr: u8) -> [u8; 3] {
    let (y, cb, cr) = (i32::from(y), i32::from(cb) - 128, i32::from(cr) - 128);
    let half = 1 << 15;
    let r = y + ((91881 * cr + half) >> 16);
    let g = y + ((-22554 * cb - 46802 * cr + half) >> 16);
    let b = y + ((116_130 * cb + half) >> 16);
    [r, g, b].map(|value| value.clamp(0, 255) as u8)
}

/// The colour of an ink under black, both stored inverted as Adobe does; Pillow's rounding.
fn printed(ink: u8, black: u8) -> u8 {
    let (ink, white) = (255 - u32::from(ink), u32::from(black));
    let product = ink * white + 128;
    (white - (((product >> 8) + product) >> 8)) as u8
}
