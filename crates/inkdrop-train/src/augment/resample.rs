//! Resampling of an affine map at twice the resolution, with the low-pass filter of the sym6 wavelet (Karras et al. 2020,
//! "Training generative adversarial networks with limited data", appendix B).

use std::f64::consts::SQRT_2;

use inkdrop_torch::tch::Tensor;

use crate::TrainError;

/// A 2×3 matrix of an affine map of the plane: columns of x, of y and of the offset.
pub(super) type Affine = [[f64; 3]; 2];

/// The low-pass filter of the wavelet sym6 (Daubechies 1992, section 8.1.1), in the order of a convolution; its sum is √2.
///
/// Its even translates are orthonormal, so that downsampling by its reverse undoes upsampling by it.
const SYM6: [f64; 12] = [
    0.015404109327027373,
    0.0034907120842174702,
    -0.11799011114819057,
    -0.048311742585633,
    0.4910559419267466,
    0.787641141030194,
    0.3379294217276218,
    -0.07263752278646252,
    -0.021060292512300564,
    0.04472490177066578,
    0.0017677118642428036,
    -0.007800708325034148,
];

/// The tap at the fine pixel of even index.
const CENTRE: i64 = 5;

/// Fine pixels beside the output, which its last pixels depend on.
const MARGIN: i64 = 6;

/// Where pixel 0 lies among the fine pixels: the mean position of the filter, which is not quite symmetric.
fn delay() -> f64 {
    let mean = SYM6.iter().enumerate().map(|(tap, weight)| tap as f64 * weight).sum::<f64>();
    mean / SQRT_2 - CENTRE as f64
}

/// Moves the pixels of an image: upsamples it to twice its size by [`SYM6`] with its border reflected, reads it at the
/// source of each fine pixel (bilinear), and downsamples.
///
/// - x: [1, C, H, W]
/// - source: from a place in the result to its place in x, in pixels (x, y) from the centre
pub(super) fn warp(x: &Tensor, source: &Affine) -> Result<Tensor, TrainError> {
    let (height, width) = (x.size()[2], x.size()[3]);
    let fine = FineMap { source, sides: [width, height] };
    let [columns, rows] = fine.bounds();
    let up_x = upsampling(width, columns)?.f_to_device(x.device())?.f_to_kind(x.kind())?;
    let up_y = upsampling(height, rows)?.f_to_device(x.device())?.f_to_kind(x.kind())?;
    let large = up_y.f_matmul(x)?.f_matmul(&up_x.f_transpose(0, 1)?)?;
    let theta = Tensor::f_from_slice(&fine.theta([columns, rows]).concat())?.f_view([1, 2, 3])?;
    let theta = theta.f_to_kind(x.kind())?.f_to_device(x.device())?;
    let shape = [1, x.size()[1], fine_side(height), fine_side(width)];
    let grid = Tensor::f_affine_grid_generator(&theta, shape, false)?;
    let (bilinear, border) = (0, 1);
    let moved = large.f_grid_sampler(&grid, bilinear, border, false)?;
    let down_x = downsampling(width)?.f_to_device(x.device())?.f_to_kind(x.kind())?;
    let down_y = downsampling(height)?.f_to_device(x.device())?.f_to_kind(x.kind())?;
    Ok(down_y.f_matmul(&moved)?.f_matmul(&down_x.f_transpose(0, 1)?)?)
}

/// Fine pixels of the result along a side, its margins included.
fn fine_side(side: i64) -> i64 {
    2 * side + 2 * MARGIN
}

/// An affine map between the fine pixels of the result and of the image; indices may be negative beyond their borders.
struct FineMap<'a> {
    source: &'a Affine,
    /// Width and height in pixels.
    sides: [i64; 2],
}

/// First index and number of fine pixels along an axis.
#[derive(Clone, Copy)]
struct Span {
    first: i64,
    count: i64,
}

impl FineMap<'_> {
    /// The source of a fine pixel (x, y).
    fn at(&self, fine: [f64; 2]) -> [f64; 2] {
        let centre = self.sides.map(|side| 0.5 * (side - 1) as f64);
        let [x, y] = [0, 1].map(|axis| 0.5 * (fine[axis] - delay()) - centre[axis]);
        [0, 1].map(|axis| {
            let [a, b, offset] = self.source[axis];
            2.0 * (a * x + b * y + offset + centre[axis]) + delay()
        })
    }

    /// The fine pixels that the result reads, along x and y.
    fn bounds(&self) -> [Span; 2] {
        let ends = self.sides.map(|side| [-MARGIN as f64, (fine_side(side) - MARGIN - 1) as f64]);
        let corners =
            [(0, 0), (0, 1), (1, 0), (1, 1)].map(|(i, j)| self.at([ends[0][i], ends[1][j]]));
        [0, 1].map(|axis| {
            let values = corners.map(|corner| corner[axis]);
            let first = values.iter().copied().fold(f64::INFINITY, f64::min).floor() as i64;
            let last = values.iter().copied().fold(f64::NEG_INFINITY, f64::max).ceil() as i64;
            Span { first, count: last - first + 1 }
        })
    }

    /// The map in libtorch's units, in which pixels fill −1 to 1.
    fn theta(&self, spans: [Span; 2]) -> Affine {
        let unit = |place: [f64; 2]| {
            let fine = [0, 1].map(|axis| {
                let side = fine_side(self.sides[axis]) as f64;
                0.5 * ((place[axis] + 1.0) * side - 1.0) - MARGIN as f64
            });
            let source = self.at(fine);
            [0, 1].map(|axis| {
                let Span { first, count } = spans[axis];
                (2.0 * (source[axis] - first as f64) + 1.0) / count as f64 - 1.0
            })
        };
        let (origin, right, down) = (unit([0.0, 0.0]), unit([1.0, 0.0]), unit([0.0, 1.0]));
        [0, 1].map(|axis| [right[axis] - origin[axis], down[axis] - origin[axis], origin[axis]])
    }
}

/// The matrix from `side` pixels to fine pixels, with reflected borders, [count, side] in f64.
fn upsampling(side: i64, span: Span) -> Result<Tensor, TrainError> {
    let mut weights = vec![0.0; (span.count * side) as usize];
    for (row, fine) in weights.chunks_exact_mut(side as usize).zip(span.first..) {
        for (tap, weight) in SYM6.iter().enumerate() {
            let twice = fine + CENTRE - tap as i64;
            if twice % 2 == 0 {
                row[reflected(twice / 2, side)] += SQRT_2 * weight;
            }
        }
    }
    Ok(Tensor::f_from_slice(&weights)?.f_view([span.count, side])?)
}

/// The matrix from fine pixels with margins to `side` pixels, [side, 2·side + 12] in f64.
fn downsampling(side: i64) -> Result<Tensor, TrainError> {
    let count = fine_side(side);
    let mut weights = vec![0.0; (side * count) as usize];
    for (pixel, row) in weights.chunks_exact_mut(count as usize).enumerate() {
        for (tap, weight) in SYM6.iter().enumerate() {
            let fine = 2 * pixel as i64 - CENTRE + tap as i64;
            row[(fine + MARGIN) as usize] = weight / SQRT_2;
        }
    }
    Ok(Tensor::f_from_slice(&weights)?.f_view([side, count])?)
}

/// The pixel in 0..side at an index of the image that is reflected at its first and last pixels.
fn reflected(index: i64, side: i64) -> usize {
    let period = 2 * (side - 1);
    if period == 0 {
        return 0;
    }
    let place = index.rem_euclid(period);
    place.min(period - place) as usize
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use inkdrop_torch::tch::{Device, Kind};

    use super::*;

    const SIDE: i64 = 32;

    fn noise() -> Tensor {
        Tensor::arange(SIDE * SIDE, (Kind::Float, Device::Cpu)).view([1, 1, SIDE, SIDE]).sin()
    }

    fn turned(angle: f64) -> Affine {
        let (sin, cos) = angle.sin_cos();
        [[cos, -sin, 0.0], [sin, cos, 0.0]]
    }

    /// The largest difference, `margin` pixels from the border and beyond.
    fn apart(a: &Tensor, b: &Tensor, margin: i64) -> f64 {
        let inner = |x: &Tensor| {
            x.narrow(2, margin, SIDE - 2 * margin).narrow(3, margin, SIDE - 2 * margin)
        };
        (inner(a) - inner(b)).abs().max().double_value(&[])
    }

    /// Downsampling undoes upsampling: f32 rounds by 1e-6 of the largest value.
    #[test]
    fn the_identity_changes_nothing() {
        assert!(apart(&warp(&noise(), &turned(0.0)).unwrap(), &noise(), 0) < 2e-5);
        let wide = noise().narrow(2, 3, 7);
        let moved = warp(&wide, &turned(0.0)).unwrap();
        assert!((moved - wide).abs().max().double_value(&[]) < 2e-5);
    }

    #[test]
    fn whole_pixels_are_shifted() {
        let moved = warp(&noise(), &[[1.0, 0.0, 3.0], [0.0, 1.0, -5.0]]).unwrap();
        let expected = noise().roll([5, -3], [2, 3]);
        assert!(apart(&moved, &expected, 6) < 2e-5);
        // At the border the image is reflected.
        let right = moved.narrow(3, SIDE - 3, 3).narrow(2, 6, 20);
        let inside = noise().narrow(3, SIDE - 4, 3).flip([3]).narrow(2, 1, 20);
        assert!((right - inside).abs().max().double_value(&[]) < 2e-5);
    }

    #[test]
    fn constants_stay() {
        let grey = Tensor::full([1, 3, SIDE, SIDE], 0.7, (Kind::Float, Device::Cpu));
        for angle in [0.0, 0.4, 2.0] {
            let [[a, b, _], [c, d, _]] = turned(angle);
            let moved = warp(&grey, &[[1.7 * a, b, 9.3], [c, 0.6 * d, -20.1]]).unwrap();
            assert!((moved - &grey).abs().max().double_value(&[]) < 1e-5, "{angle}");
        }
    }

    /// A wave of a frequency below one cycle per pixel, at the places that a rotation about the centre gives.
    fn wave(frequency: [f64; 2], angle: f64) -> Tensor {
        let (sin, cos) = angle.sin_cos();
        let centre = 0.5 * (SIDE - 1) as f64;
        let value = |i: i64| {
            let (x, y) = ((i % SIDE) as f64 - centre, (i / SIDE) as f64 - centre);
            let (u, v) = (cos * x - sin * y, sin * x + cos * y);
            (std::f64::consts::TAU * (frequency[0] * u + frequency[1] * v) + 0.6).sin() as f32
        };
        let values: Vec<f32> = (0..SIDE * SIDE).map(value).collect();
        Tensor::from_slice(&values).view([1, 1, SIDE, SIDE])
    }

    /// Bilinear interpolation between the pixels themselves.
    fn bilinear(x: &Tensor, source: &Affine) -> Tensor {
        let theta = Tensor::from_slice(&source.concat()).view([1, 2, 3]).to_kind(Kind::Float);
        x.grid_sampler(&Tensor::affine_grid_generator(&theta, x.size(), false), 0, 2, false)
    }

    /// Bilinear interpolation between fine pixels has a quarter of the error, and the filter a small one.
    #[test]
    fn waves_are_turned_better_than_by_bilinear_interpolation() {
        for (frequency, angle, most) in [
            ([0.05, 0.02], 0.5, 0.003),
            ([0.1, 0.05], 0.5, 0.012),
            ([0.1, 0.05], 2.2, 0.019),
            ([0.15, 0.1], 0.8, 0.031),
            ([0.2, 0.1], 0.8, 0.047),
        ] {
            let (x, expected) = (wave(frequency, 0.0), wave(frequency, angle));
            let error = apart(&warp(&x, &turned(angle)).unwrap(), &expected, 9);
            let plain = apart(&bilinear(&x, &turned(angle)), &expected, 9);
            assert!(error < most && plain > 3.0 * error, "{frequency:?}: {error}, {plain}");
        }
    }

    /// The filter is not quite symmetric: a turn reads a fifth of a fine pixel beside its centres, and the delay falls with
    /// the frequency. So slow waves are turned as the pixels are, others nearly.
    #[test]
    fn a_quarter_turn_is_that_of_the_pixels() {
        for (frequency, most) in
            [([0.02, 0.0], 3e-4), ([0.05, 0.02], 0.003), ([0.1, 0.05], 0.017), ([0.2, 0.1], 0.13)]
        {
            let x = wave(frequency, 0.0);
            for quarters in 1..4 {
                let angle = f64::from(quarters) * std::f64::consts::FRAC_PI_2;
                let expected = x.rot90(i64::from(quarters), [2, 3]);
                let error = apart(&warp(&x, &turned(angle)).unwrap(), &expected, 9);
                assert!(error < most, "{frequency:?}, {quarters} quarters: {error}");
            }
        }
    }
}
