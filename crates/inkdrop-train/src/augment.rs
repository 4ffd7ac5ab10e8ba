//! Non-leaky augmentation: random transformations of training images, whose parameters the network receives
//! as labels (Karras et al. 2022, appendix F.2).

mod resample;

use std::f64::consts::PI;

use inkdrop_torch::tch::{Device, Kind, Tensor};
use serde::{Deserialize, Serialize};

use crate::TrainError;
use resample::{Affine, warp};

/// The augmentation pipeline of Karras et al. 2022, appendix F.2, with the parameters of its table 6.
///
/// Each transformation occurs with this probability, apart from the others. The network receives nine labels, all
/// 0 for an image that is not transformed, so that samples are not transformed either.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AugmentConfig {
    /// Probability of each transformation; 0 to 1. EDM has 0.12 for CIFAR-10 and 0.15 for FFHQ and AFHQv2.
    #[serde(default = "twelve_percent")]
    pub probability: f64,
    /// Mirrors half of all images left to right, whatever the probability.
    #[serde(default = "yes")]
    pub x_flip: bool,
    /// Mirrors top to bottom.
    #[serde(default = "yes")]
    pub y_flip: bool,
    /// Scales by 2^(0.2·N(0, 1)).
    #[serde(default = "yes")]
    pub scale: bool,
    /// Rotates by any angle.
    #[serde(default = "yes")]
    pub rotate: bool,
    /// Stretches along any direction by 2^(0.2·N(0, 1)), and shrinks across it.
    #[serde(default = "yes")]
    pub aniso: bool,
    /// Moves by N(0, 1/8) of the width and of the height.
    #[serde(default = "yes")]
    pub translate: bool,
}

fn twelve_percent() -> f64 {
    0.12
}

fn yes() -> bool {
    true
}

impl Default for AugmentConfig {
    /// EDM's for CIFAR-10.
    fn default() -> Self {
        let on = true;
        Self {
            probability: twelve_percent(),
            x_flip: on,
            y_flip: on,
            scale: on,
            rotate: on,
            aniso: on,
            translate: on,
        }
    }
}

/// ln of the standard deviation of scaling and stretching, 2^0.2.
const STRETCH: f64 = 0.2 * std::f64::consts::LN_2;

/// Standard deviation of the translation, in units of the side.
const MOVE: f64 = 0.125;

/// The drawn transformation of one image.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Transformation {
    mirrored: [bool; 2],
    /// ln of the factor, in units of [`STRETCH`].
    scale: f64,
    angle: f64,
    /// Direction and ln of the factor, in units of [`STRETCH`].
    stretch: (f64, f64),
    /// In units of [`MOVE`].
    shift: [f64; 2],
}

impl AugmentConfig {
    /// Number of labels.
    pub const LABELS: i64 = 9;

    /// Draws the transformations of a batch from libtorch's default generator.
    fn draw(&self, images: usize) -> Result<Vec<Transformation>, TrainError> {
        let shape = [images as i64, 12];
        let uniform = Tensor::f_rand(shape, (Kind::Double, Device::Cpu))?;
        let normal = Tensor::f_randn([images as i64, 4], (Kind::Double, Device::Cpu))?;
        let (u, n) = (
            Vec::<f64>::try_from(&uniform.f_view([-1])?)?,
            Vec::<f64>::try_from(&normal.f_view([-1])?)?,
        );
        let one = |(u, n): (&[f64], &[f64])| {
            let on = |draw: usize, allowed: bool| allowed && u[draw] < self.probability;
            let angle = |draw: usize| PI * (2.0 * u[draw] - 1.0);
            let mut drawn = Transformation {
                mirrored: [self.x_flip && u[0] < 0.5, on(1, self.y_flip) && u[2] < 0.5],
                ..Transformation::default()
            };
            if on(3, self.scale) {
                drawn.scale = n[0];
            }
            if on(4, self.rotate) {
                drawn.angle = angle(5);
            }
            if on(6, self.aniso) {
                // Half of the stretches are along x or y (`aniso_rotate_prob` of EDM's program).
                drawn.stretch = (if u[9] < 0.5 { angle(7) } else { 0.0 }, n[1]);
            }
            if on(8, self.translate) {
                drawn.shift = [n[2], n[3]];
            }
            drawn
        };
        Ok(u.chunks_exact(12).zip(n.chunks_exact(4)).map(one).collect())
    }

    /// Draws the transformations of a whole batch and returns its labels, [B, 9], with the images of `positions`
    /// transformed.
    ///
    /// - x: images of `positions`, [b, C, H, W]
    pub(crate) fn apply(
        &self,
        x: &Tensor,
        positions: std::ops::Range<usize>,
        batch: usize,
    ) -> Result<(Tensor, Tensor), TrainError> {
        let drawn = self.draw(batch)?;
        let labels: Vec<f32> = drawn.iter().flat_map(Transformation::labels).collect();
        let labels = Tensor::f_from_slice(&labels)?.f_view([batch as i64, Self::LABELS])?;
        let mut images = Vec::with_capacity(positions.len());
        for (image, transformation) in drawn[positions].iter().enumerate() {
            images.push(transformation.apply(&x.f_narrow(0, image as i64, 1)?)?);
        }
        Ok((Tensor::f_cat(&images, 0)?, labels))
    }

    pub(crate) fn check(&self) -> Result<(), TrainError> {
        if (0.0..=1.0).contains(&self.probability) {
            return Ok(());
        }
        Err(TrainError::Field {
            field: "train.augment.probability",
            given: self.probability.to_string(),
            expected: "0 to 1",
        })
    }
}

impl Transformation {
    /// The nine labels (Karras et al. 2022, table 6).
    fn labels(&self) -> [f32; 9] {
        let [x, y] = self.mirrored.map(|mirrored| if mirrored { 1.0 } else { 0.0 });
        let (direction, stretch) = self.stretch;
        let [right, down] = self.shift;
        [
            x,
            y,
            self.scale,
            self.angle.cos() - 1.0,
            self.angle.sin(),
            stretch * direction.cos(),
            stretch * direction.sin(),
            right,
            down,
        ]
        .map(|label| label as f32)
    }

    /// True if pixels move by more than mirroring.
    fn warps(&self) -> bool {
        let Self { scale, angle, stretch, shift, .. } = *self;
        scale != 0.0 || angle != 0.0 || stretch.1 != 0.0 || shift != [0.0; 2]
    }

    /// - x: [1, C, H, W]
    fn apply(&self, x: &Tensor) -> Result<Tensor, TrainError> {
        let [mirrored_x, mirrored_y] = self.mirrored;
        let axes: Vec<i64> = [(mirrored_x, 3), (mirrored_y, 2)]
            .iter()
            .filter(|(on, _)| *on)
            .map(|(_, axis)| *axis)
            .collect();
        let x = if axes.is_empty() { x.shallow_clone() } else { x.f_flip(&axes)? };
        match self.warps() {
            true => warp(&x, &self.source(x.size()[2] as f64, x.size()[3] as f64)),
            false => Ok(x),
        }
    }

    /// Where the pixel at a place comes from, in pixels (x, y) from the centre.
    fn source(&self, height: f64, width: f64) -> Affine {
        let rotation = |angle: f64| {
            let (sin, cos) = angle.sin_cos();
            [[cos, -sin], [sin, cos]]
        };
        let scaling = |x: f64, y: f64| [[x, 0.0], [0.0, y]];
        let size = (-self.scale * STRETCH).exp();
        let (direction, stretch) = self.stretch;
        let factor = (-stretch * STRETCH).exp();
        // The inverse of translate · aniso · rotate · scale, with the directions of EDM's program.
        let aniso = multiply(
            rotation(-direction),
            multiply(scaling(factor, 1.0 / factor), rotation(direction)),
        );
        let linear = multiply(scaling(size, size), multiply(rotation(self.angle), aniso));
        let shift = [self.shift[0] * MOVE * width, self.shift[1] * MOVE * height];
        linear.map(|[a, b]| [a, b, -(a * shift[0] + b * shift[1])])
    }
}

fn multiply(a: [[f64; 2]; 2], b: [[f64; 2]; 2]) -> [[f64; 2]; 2] {
    [0, 1].map(|i| [0, 1].map(|j| a[i][0] * b[0][j] + a[i][1] * b[1][j]))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use inkdrop_torch::DefaultGenerator;

    use super::*;

    fn image() -> Tensor {
        let places = Tensor::arange(16, (Kind::Float, Device::Cpu));
        let wave = (&places * 0.5).sin();
        (wave.view([1, 1, 16, 1]) + wave.cos().view([1, 1, 1, 16])) * 0.4
    }

    fn apart(a: &Tensor, b: &Tensor) -> f64 {
        (a - b).abs().max().double_value(&[])
    }

    #[test]
    fn without_probability_images_are_only_mirrored() {
        let _generator = DefaultGenerator::seeded(3);
        let config = AugmentConfig { probability: 0.0, ..AugmentConfig::default() };
        let x = image().repeat([40, 1, 1, 1]);
        let (out, labels) = config.apply(&x, 0..40, 40).unwrap();
        let mirrored = Vec::<f32>::try_from(labels.select(1, 0)).unwrap();
        assert!((8.0..=32.0).contains(&mirrored.iter().sum::<f32>()), "{mirrored:?}");
        assert_eq!(labels.narrow(1, 1, 8).abs().max().double_value(&[]), 0.0);
        for (i, mirrored) in mirrored.iter().enumerate() {
            let expected = if *mirrored > 0.0 { image().flip([3]) } else { image() };
            assert_eq!(out.narrow(0, i as i64, 1), expected);
        }
    }

    #[test]
    fn half_a_turn_is_mirroring_twice_and_a_shift_moves_to_the_right() {
        let turn = Transformation { angle: PI, ..Transformation::default() };
        let inner = |x: &Tensor, margin: i64| {
            let side = 16 - 2 * margin;
            x.narrow(2, margin, side).narrow(3, margin, side)
        };
        let turned = turn.apply(&image()).unwrap();
        // The filter reaches three pixels, so that the reflected border counts beside the inner pixels.
        assert!(apart(&inner(&turned, 3), &inner(&image().flip([2, 3]), 3)) < 0.01);
        // 1/8 of 16 pixels.
        let shift = Transformation { shift: [1.0, 0.0], ..Transformation::default() };
        let moved = shift.apply(&image()).unwrap();
        let expected = image().narrow(3, 2, 10);
        assert!(apart(&moved.narrow(3, 4, 10).narrow(2, 2, 12), &expected.narrow(2, 2, 12)) < 0.01);
        let larger = Transformation { scale: 5.0, ..Transformation::default() }; // twice the size
        let zoomed = larger.apply(&image()).unwrap();
        let centre = inner(&image(), 4).upsample_bicubic2d([16, 16], false, None, None);
        assert!(apart(&inner(&zoomed, 3), &inner(&centre, 3)) < 0.02);
    }

    /// The published networks were told these labels for these matrices (G_inv of EDM's AugmentPipe, 16 × 16 pixels).
    #[test]
    fn matrices_are_those_of_edm() {
        let drawn = Transformation {
            scale: 0.5,
            angle: 0.5,
            stretch: (0.7, 1.2),
            shift: [0.25, -1.0],
            ..Transformation::default()
        };
        let expected = [
            [0.7332407718489815, -0.33137806265359226, -1.0293765112316753],
            [0.5756693724759494, 0.9270984211664162, 1.5663621560948577],
        ];
        let found = drawn.source(16.0, 16.0);
        for (found, expected) in found.iter().flatten().zip(expected.iter().flatten()) {
            assert!((found - expected).abs() < 1e-12, "{found} {expected}");
        }
        let _generator = DefaultGenerator::seeded(5);
        let drawn =
            AugmentConfig { probability: 1.0, ..AugmentConfig::default() }.draw(400).unwrap();
        let straight = drawn.iter().filter(|drawn| drawn.stretch.0 == 0.0).count();
        assert!((150..=250).contains(&straight), "{straight}");
    }

    #[test]
    fn each_transformation_has_its_label() {
        let drawn = Transformation {
            mirrored: [true, false],
            scale: 0.5,
            angle: PI / 2.0,
            stretch: (PI, 2.0),
            shift: [0.25, -1.0],
        };
        let expected = [1.0, 0.0, 0.5, -1.0, 1.0, -2.0, 0.0, 0.25, -1.0];
        for (label, expected) in drawn.labels().into_iter().zip(expected) {
            assert!((label - expected).abs() < 1e-6, "{:?}", drawn.labels());
        }
        assert_eq!(Transformation::default().labels(), [0.0; 9]);
    }

    #[test]
    fn a_share_of_a_batch_is_transformed_as_in_the_whole() {
        let config = AugmentConfig { probability: 0.7, ..AugmentConfig::default() };
        let x = image().repeat([6, 1, 1, 1]);
        let run = |positions: std::ops::Range<usize>| {
            let _generator = DefaultGenerator::seeded(9);
            let part = x.narrow(0, positions.start as i64, positions.len() as i64);
            config.apply(&part, positions, 6).unwrap()
        };
        let ((whole, labels), (part, same)) = (run(0..6), run(2..5));
        assert_eq!((part, same), (whole.narrow(0, 2, 3), labels));
    }
}
