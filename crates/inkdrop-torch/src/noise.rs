//! Noise sources: torch's generator, one stream per image, or a recorded tape.

use std::ops::Range;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rand_distr::{Distribution, StandardNormal};
use tch::{Device, Tensor};

use crate::generator::Generator;
use crate::{Result, TorchError, to_device_async};

/// A source of standard normal noise for a batch of images.
pub trait NoiseSource {
    /// The next draw, N(0, 1) in f32.
    ///
    /// - shape: [B, C, H, W], or any shape whose first axis runs over images.
    ///
    /// # Errors
    /// The source has no draw of that shape, or libtorch is out of memory.
    fn normal(&mut self, shape: &[i64], device: Device) -> Result<Tensor>;

    /// The noise of a solver step from one signal-to-noise ratio to a higher one, N(0, 1) in f32.
    ///
    /// By default it is the next draw. [`BrownianTreeNoise`](crate::BrownianTreeNoise) returns the
    /// increment of a path that does not depend on the steps.
    ///
    /// - snr: ᾱ/(1 − ᾱ) at the start and at the end of the step, 0 ≤ start ≤ end
    ///
    /// # Errors
    /// Those of [`NoiseSource::normal`].
    fn increment(&mut self, shape: &[i64], device: Device, _snr: [f64; 2]) -> Result<Tensor> {
        self.normal(shape, device)
    }
}

impl<N: NoiseSource + ?Sized> NoiseSource for &mut N {
    fn normal(&mut self, shape: &[i64], device: Device) -> Result<Tensor> {
        (**self).normal(shape, device)
    }

    fn increment(&mut self, shape: &[i64], device: Device, snr: [f64; 2]) -> Result<Tensor> {
        (**self).increment(shape, device, snr)
    }
}

impl<N: NoiseSource + ?Sized> NoiseSource for Box<N> {
    fn normal(&mut self, shape: &[i64], device: Device) -> Result<Tensor> {
        (**self).normal(shape, device)
    }

    fn increment(&mut self, shape: &[i64], device: Device, snr: [f64; 2]) -> Result<Tensor> {
        (**self).increment(shape, device, snr)
    }
}

/// The draws of `torch.manual_seed(seed)`, in order, on the CPU: a PyTorch
/// program that draws the same shapes in the same order sees the same numbers.
///
/// It has a generator of its own, so other draws in the process change nothing.
#[derive(Debug)]
pub struct TorchNoise(Generator);

impl TorchNoise {
    /// The generator after `torch.manual_seed(seed)`.
    ///
    /// # Errors
    /// libtorch cannot allocate the generator's state.
    pub fn seeded(seed: i64) -> Result<Self> {
        Ok(Self(Generator::seeded(seed)?))
    }
}

impl NoiseSource for TorchNoise {
    fn normal(&mut self, shape: &[i64], device: Device) -> Result<Tensor> {
        to_device_async(&self.0.normal(shape)?, device)
    }
}

/// One stream of noise per image: image `i` of seed `s` gets the same draws
/// whatever the batch size, the number of images or the device.
///
/// Each stream is ChaCha8 with the seed as key and the image's number as stream.
#[derive(Debug, Clone)]
pub struct PerImageNoise {
    streams: Vec<ChaCha8Rng>,
}

impl PerImageNoise {
    /// Streams for the images of these numbers; row k of a batch is image `images.start + k`.
    pub fn new(seed: u64, images: Range<u64>) -> Self {
        let key = ChaCha8Rng::seed_from_u64(seed);
        let stream = |image| {
            let mut rng = key.clone();
            rng.set_stream(image);
            rng
        };
        Self { streams: images.map(stream).collect() }
    }
}

impl NoiseSource for PerImageNoise {
    fn normal(&mut self, shape: &[i64], device: Device) -> Result<Tensor> {
        let images = shape.first().copied().unwrap_or(0);
        if images != self.streams.len() as i64 {
            return Err(TorchError::message(format!(
                "noise for {images} images requested, but the source has {}",
                self.streams.len()
            )));
        }
        let each = shape[1..].iter().product::<i64>() as usize;
        let mut values: Vec<f32> = Vec::with_capacity(each * self.streams.len());
        for rng in &mut self.streams {
            values.extend((0..each).map(|_| -> f32 { StandardNormal.sample(rng) }));
        }
        to_device_async(&Tensor::f_from_slice(&values)?.f_view(shape)?, device)
    }
}

/// Recorded noise, returned draw by draw.
#[derive(Debug)]
pub struct NoiseTape {
    draws: Tensor,
    next: i64,
}

impl NoiseTape {
    /// - draws: [draws, B, C, H, W]
    pub fn new(draws: Tensor) -> Self {
        Self { draws, next: 0 }
    }

    /// Number of remaining draws.
    pub fn remaining(&self) -> i64 {
        self.draws.size().first().map_or(0, |draws| draws - self.next)
    }
}

impl NoiseSource for NoiseTape {
    fn normal(&mut self, shape: &[i64], device: Device) -> Result<Tensor> {
        if self.remaining() == 0 {
            return Err(TorchError::message(format!("the tape has only {} draws", self.next)));
        }
        let x = self.draws.f_get(self.next)?;
        if x.size() != shape {
            return Err(TorchError::message(format!(
                "noise of shape {shape:?} requested, but the tape has draws of shape {:?}",
                x.size()
            )));
        }
        self.next += 1;
        Ok(x.f_to_device(device)?)
    }
}
