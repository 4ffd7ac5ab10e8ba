//! Brownian-tree noise: one path of noise for any number of steps (Li et al. 2020).

use std::ops::Range;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rand_distr::{Distribution, StandardNormal};
use tch::{Device, Kind, Tensor};

use crate::{NoiseSource, PerImageNoise, Result, TorchError, to_device_async};

/// Noise of stochastic samplers from a Brownian motion W(s) for each image, where s is the signal-to-noise
/// ratio ᾱ/(1 − ᾱ). A step from s to s' draws (W(s') − W(s))/√(s' − s).
///
/// The path depends on the seed and the image alone. A run of n steps and one of 2n steps therefore
/// follow the same path, and their images are alike, as with k-diffusion's `BrownianTreeNoiseSampler`
/// (whose paths are others). In s, the noise of two steps of the reverse SDE adds up to that of one.
///
/// Values of W come from a virtual Brownian tree (Li et al. 2020, section 4): bisection of an interval,
/// with a Brownian bridge at every node and a generator for every node, so that nothing is stored.
/// The resolution is 2⁻²⁰ of the range in ln s.
///
/// [`NoiseSource::normal`] has the draws of [`PerImageNoise`] with the same seed.
#[derive(Debug, Clone)]
pub struct BrownianTreeNoise {
    draws: PerImageNoise,
    key: ChaCha8Rng,
    images: Range<u64>,
    /// The last point of the path that was computed: s, shape and W(s).
    last: Option<(f64, Vec<i64>, Vec<f64>)>,
}

/// The range of ½·ln s within the tree; σ from 2e5 to 6e-6.
const RANGE: [f64; 2] = [-12.0, 12.0];

/// Levels of the tree.
const DEPTH: u32 = 20;

impl BrownianTreeNoise {
    /// Paths of the images of these numbers; row k of a batch is image `images.start + k`.
    pub fn new(seed: u64, images: Range<u64>) -> Self {
        let (draws, key) =
            (PerImageNoise::new(seed, images.clone()), ChaCha8Rng::seed_from_u64(seed));
        Self { draws, key, images, last: None }
    }

    /// W(s) of all images, row by row, with W(0) = 0.
    fn path(&mut self, s: f64, shape: &[i64]) -> Vec<f64> {
        if let Some((at, known, path)) = &self.last
            && (*at, known.as_slice()) == (s, shape)
        {
            return path.clone();
        }
        let each = shape[1..].iter().product::<i64>() as usize;
        let images = self.images.clone();
        let path: Vec<f64> = images.flat_map(|image| self.image_path(image, s, each)).collect();
        self.last = Some((s, shape.to_vec(), path.clone()));
        path
    }

    /// W(s) of one image.
    fn image_path(&self, image: u64, s: f64, each: usize) -> Vec<f64> {
        let at = |half_log: f64| (2.0 * half_log).exp();
        let mut rng = self.key.clone();
        rng.set_stream(image);
        let mut draw = |node: u64| -> Vec<f64> {
            // Every node has 2³⁶ words of the image's stream for itself; the first are PerImageNoise's.
            rng.set_word_pos(u128::from(node + 1) << 36);
            (0..each).map(|_| StandardNormal.sample(&mut rng)).collect()
        };
        let [mut low, mut high] = RANGE;
        let mut left: Vec<f64> = draw(0).iter().map(|z| z * at(low).sqrt()).collect();
        if s <= at(low) {
            // Below the tree: a straight line from W(0) = 0.
            return left.iter().map(|w| w * s / at(low)).collect();
        }
        let std = (at(high) - at(low)).sqrt();
        let mut right: Vec<f64> = left.iter().zip(draw(1)).map(|(w, z)| w + std * z).collect();
        if s >= at(high) {
            return right;
        }
        let mut node = 1;
        for _ in 0..DEPTH {
            let half_log = (low + high) / 2.0;
            let middle =
                bridge(at(half_log), [(at(low), &left), (at(high), &right)], &draw(node * 2));
            let lower = s < at(half_log);
            node = node * 2 + u64::from(!lower);
            if lower {
                (high, right) = (half_log, middle);
            } else {
                (low, left) = (half_log, middle);
            }
        }
        let share = (s - at(low)) / (at(high) - at(low));
        left.iter().zip(&right).map(|(a, b)| a + share * (b - a)).collect()
    }
}

/// The Brownian bridge at s between two points, from standard normal draws.
fn bridge(s: f64, [(low, left), (high, right)]: [(f64, &Vec<f64>); 2], draws: &[f64]) -> Vec<f64> {
    let share = (s - low) / (high - low);
    let std = ((s - low) * (high - s) / (high - low)).sqrt();
    let ends = left.iter().zip(right).zip(draws);
    ends.map(|((a, b), z)| a + share * (b - a) + std * z).collect()
}

impl NoiseSource for BrownianTreeNoise {
    fn normal(&mut self, shape: &[i64], device: Device) -> Result<Tensor> {
        self.draws.normal(shape, device)
    }

    fn increment(&mut self, shape: &[i64], device: Device, [from, to]: [f64; 2]) -> Result<Tensor> {
        let images = self.images.end.saturating_sub(self.images.start) as i64;
        if shape.first() != Some(&images) {
            let given = shape.first().copied().unwrap_or(0);
            return Err(TorchError::message(format!(
                "noise for {given} images requested, but the source has {images}"
            )));
        }
        if from == to {
            return Ok(Tensor::f_zeros(shape, (Kind::Float, device))?);
        }
        if !(from >= 0.0 && to > from && to.is_finite()) {
            return Err(TorchError::message(format!(
                "a step from the signal-to-noise ratio {from} to {to}: expected an increase"
            )));
        }
        let (start, end) = (self.path(from, shape), self.path(to, shape));
        let scale = (to - from).sqrt();
        let values: Vec<f32> =
            start.iter().zip(&end).map(|(a, b)| ((b - a) / scale) as f32).collect();
        to_device_async(&Tensor::f_from_slice(&values)?.f_view(shape)?, device)
    }
}
