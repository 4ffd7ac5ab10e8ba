//! Random masks for the training of inpainting: boxes and free-form strokes.

use std::f64::consts::TAU;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// Draws a mask: a box, or strokes of a brush (free-form masks, Yu et al. 2019), each in half of the cases.
///
/// The mask is a pure function of the arguments. True marks pixels to generate; at least one is true.
///
/// - share: smallest and largest share of the image that the mask covers, 0 to 1; the share is uniform between
///   them. Boxes that do not fit, and strokes, come near it.
///
/// # Shapes
/// - returns height·width values, row by row
///
/// ```
/// let mask = inkdrop_data::mask::draw([16, 16], [0.25, 0.25], 7);
/// let covered = mask.iter().filter(|&&pixel| pixel).count();
/// assert!((40..90).contains(&covered), "{covered}");
/// ```
pub fn draw([height, width]: [usize; 2], share: [f64; 2], seed: u64) -> Vec<bool> {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..12].copy_from_slice(b"mask");
    let mut canvas = Canvas {
        pixels: vec![false; height * width],
        height,
        width,
        rng: ChaCha8Rng::from_seed(key),
    };
    if canvas.pixels.is_empty() {
        return canvas.pixels;
    }
    let covered = share[0] + (share[1] - share[0]) * canvas.uniform();
    let area = (covered * (height * width) as f64).round().max(1.0);
    match canvas.uniform() < 0.5 {
        true => canvas.draw_box(area),
        false => canvas.draw_strokes(area),
    }
    canvas.pixels
}

struct Canvas {
    /// `[height, width]`
    pixels: Vec<bool>,
    height: usize,
    width: usize,
    rng: ChaCha8Rng,
}

impl Canvas {
    /// Uniform in [0, 1).
    fn uniform(&mut self) -> f64 {
        (self.rng.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    fn below(&mut self, count: usize) -> usize {
        ((u128::from(self.rng.next_u64()) * count as u128) >> 64) as usize
    }

    /// A rectangle of about `area` pixels, up to twice as high as wide or as wide as high.
    fn draw_box(&mut self, area: f64) {
        let aspect = 2f64.powf(2.0 * self.uniform() - 1.0);
        let side = |length: f64, most: usize| (length.round() as usize).clamp(1, most);
        // The longer side first, so that the other makes up for what does not fit.
        let rows = side((area * aspect).sqrt(), self.height);
        let columns = side(area / rows as f64, self.width);
        let rows = side(area / columns as f64, self.height);
        let (top, left) =
            (self.below(self.height - rows + 1), self.below(self.width - columns + 1));
        for row in top..top + rows {
            let start = row * self.width + left;
            self.pixels[start..start + columns].fill(true);
        }
    }

    /// Strokes of a round brush that turn at random, until `area` pixels are covered.
    fn draw_strokes(&mut self, area: f64) {
        let side = self.height.max(self.width) as f64;
        let radius = side * (0.05 + 0.05 * self.uniform());
        let length = (side * 1.5).ceil() as usize;
        let mut covered = 0.0;
        // A bound, since strokes might never cover the last pixels of a large share.
        for _ in 0..64 {
            let mut at = [self.uniform() * self.height as f64, self.uniform() * self.width as f64];
            let mut angle = TAU * self.uniform();
            for _ in 0..length {
                covered += self.dab(at, radius);
                if covered >= area {
                    return;
                }
                angle += 1.2 * (self.uniform() - 0.5);
                at = [at[0] + angle.sin(), at[1] + angle.cos()];
            }
        }
    }

    /// One touch of the brush; returns the number of pixels that it adds.
    fn dab(&mut self, [y, x]: [f64; 2], radius: f64) -> f64 {
        let reach = |center: f64, most: usize| {
            let low = (center - radius - 1.0).max(0.0) as usize;
            low..((center + radius + 1.0).max(0.0) as usize).min(most)
        };
        let mut added = 0.0;
        for row in reach(y, self.height) {
            for column in reach(x, self.width) {
                let distance = (row as f64 + 0.5 - y).hypot(column as f64 + 0.5 - x);
                let pixel = &mut self.pixels[row * self.width + column];
                if distance <= radius.max(0.75) && !*pixel {
                    *pixel = true;
                    added += 1.0;
                }
            }
        }
        added
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_have_about_their_share_and_depend_on_the_seed_alone() {
        for size in [[16, 16], [32, 8], [1, 5]] {
            let pixels = (size[0] * size[1]) as f64;
            for (least, most) in [(0.1, 0.6), (0.3, 0.3), (0.0, 0.0), (1.0, 1.0)] {
                let mut sum = 0.0;
                for seed in 0..200 {
                    let mask = draw(size, [least, most], seed);
                    assert_eq!(mask, draw(size, [least, most], seed));
                    let covered = mask.iter().filter(|&&pixel| pixel).count() as f64 / pixels;
                    assert!(covered > 0.0);
                    sum += covered / 200.0;
                }
                let expected = (least + most) / 2.0;
                assert!((sum - expected).abs() < 0.08 + 1.0 / pixels, "{size:?} {expected}: {sum}");
            }
        }
    }
}
