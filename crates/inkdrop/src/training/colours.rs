//! The colours of samples beside those of the data: a drift that the loss does not show.

use std::path::Path;

use inkdrop_data::{Dataset, Images};
use inkdrop_report::SampleColours;

use crate::Result;

/// Number of images of the data that are read for their colours.
const IMAGES: usize = 256;

/// Mean and standard deviation of each channel of a dataset, 0 to 255.
#[derive(Debug)]
pub struct DataColours {
    mean: Vec<f64>,
    std: Vec<f64>,
}

impl DataColours {
    /// From at most 256 images, evenly spaced; unreadable ones are left out.
    pub fn of(data: &dyn Dataset) -> Self {
        let [height, width, channels] = data.shape();
        let mut pixels = vec![0; height * width * channels * data.depth().bytes()];
        let mut moments = Moments::new(channels);
        for index in (0..data.len()).step_by(data.len().div_ceil(IMAGES).max(1)) {
            let read = data.read(index, &mut pixels).and_then(|()| {
                Images::of_bytes([1, height, width, channels], data.depth(), pixels.clone())
            });
            if let Ok(image) = read {
                moments.add(image.bytes()); // in 8 bits
            }
        }
        Self { mean: moments.mean(), std: moments.std() }
    }

    /// Writes the colours of samples beside their grid.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn compare(&self, samples: &Images, step: usize, folder: &Path) -> Result<()> {
        let mut moments = Moments::new(samples.channels());
        moments.add(samples.bytes());
        // The channels of paired pictures stand behind those of the images.
        let own = |values: &[f64]| values.iter().copied().take(samples.channels()).collect();
        let (data_mean, data_std) = (own(&self.mean), own(&self.std));
        let colours =
            SampleColours { step: step as u64, mean: moments.mean(), data_mean, data_std };
        Ok(colours.write(folder)?)
    }
}

/// Sums of the values of each channel, and of their squares.
struct Moments {
    count: f64,
    sums: Vec<[f64; 2]>,
}

impl Moments {
    fn new(channels: usize) -> Self {
        Self { count: 0.0, sums: vec![[0.0; 2]; channels] }
    }

    /// - pixels: channels last
    fn add(&mut self, pixels: &[u8]) {
        for pixel in pixels.chunks_exact(self.sums.len()) {
            self.count += 1.0;
            for ([sum, squares], &value) in self.sums.iter_mut().zip(pixel) {
                let value = f64::from(value);
                *sum += value;
                *squares += value * value;
            }
        }
    }

    fn mean(&self) -> Vec<f64> {
        self.sums.iter().map(|[sum, _]| sum / self.count.max(1.0)).collect()
    }

    fn std(&self) -> Vec<f64> {
        let count = self.count.max(1.0);
        let std =
            |[sum, squares]: &[f64; 2]| (squares / count - (sum / count).powi(2)).max(0.0).sqrt();
        self.sums.iter().map(std).collect()
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Array4;

    use super::*;

    #[test]
    fn colours_are_moments_of_each_channel() -> Result<()> {
        let pixels = Array4::from_shape_fn((300, 2, 2, 2), |(_, row, _, channel)| match channel {
            0 => 40 + 20 * row as u8,
            _ => 7,
        });
        let colours = DataColours::of(&Images::new(pixels)?);
        assert_eq!((&colours.mean[..], &colours.std[..]), (&[50.0, 7.0][..], &[10.0, 0.0][..]));
        Ok(())
    }
}
