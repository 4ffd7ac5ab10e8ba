//! Reading and augmenting images, on any thread.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::augmentation::{Augmentation, crop, mirror};
use crate::{DataError, Dataset, Depth};

/// The images that were read.
#[derive(Debug, Default)]
pub(super) struct Read {
    /// The index of each image; that of the replacement if an image was skipped.
    pub indices: Vec<usize>,
    /// `[B, H, W, C]`, each value of one or two bytes
    pub pixels: Vec<u8>,
    /// The images that were skipped, and their errors.
    pub skipped: Vec<(usize, DataError)>,
}

impl Read {
    /// Concatenates parts in their order.
    pub(super) fn joined(parts: Vec<Self>) -> Self {
        let bytes = parts.iter().map(|part| part.pixels.len()).sum();
        let mut all = Self { pixels: Vec::with_capacity(bytes), ..Self::default() };
        for part in parts {
            all.indices.extend(part.indices);
            all.pixels.extend(part.pixels);
            all.skipped.extend(part.skipped);
        }
        all
    }
}

/// Reads images with data augmentation.
#[derive(Debug)]
pub(super) struct Reader {
    dataset: Arc<dyn Dataset>,
    flip: bool,
    window: [usize; 2],
    seed: u64,
}

impl Reader {
    pub(super) fn new(
        dataset: Arc<dyn Dataset>,
        flip: bool,
        crop: Option<[usize; 2]>,
        seed: u64,
    ) -> Result<Self, DataError> {
        let [height, width, _] = dataset.shape();
        let window = crop.unwrap_or([height, width]);
        let fits = |side: usize, most: usize| (1..=most).contains(&side);
        if !fits(window[0], height) || !fits(window[1], width) {
            return Err(DataError::Images(format!(
                "a window of {} x {} (rows x columns), expected 1 x 1 to {height} x {width} as the \
                 images are; choose a smaller window or larger images",
                window[0], window[1]
            )));
        }
        Ok(Self { dataset, flip, window, seed })
    }

    /// Rows, columns and channels after cropping.
    pub(super) fn shape(&self) -> [usize; 3] {
        [self.window[0], self.window[1], self.dataset.shape()[2]]
    }

    /// Bits of a value.
    pub(super) fn depth(&self) -> Depth {
        self.dataset.depth()
    }

    /// Reads images; a panic of the dataset becomes an error.
    pub(super) fn read(&self, epoch: usize, items: &[usize]) -> Result<Read, DataError> {
        let read = || self.read_all(epoch, items);
        catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|panic| {
            Err(DataError::Images(format!(
                "reading one of the images {items:?} failed in an unforeseen way: {}; \
                 find the file and report it",
                panic_text(panic.as_ref())
            )))
        })
    }

    fn read_all(&self, epoch: usize, items: &[usize]) -> Result<Read, DataError> {
        let [height, width, channels] = self.dataset.shape();
        // Bytes of a value move together, as those of a pixel do.
        let channels = channels * self.dataset.depth().bytes();
        let size = self.window[0] * self.window[1] * channels;
        let mut read = Read { pixels: vec![0; items.len() * size], ..Read::default() };
        let mut whole = vec![0; height * width * channels];
        let room = [height - self.window[0], width - self.window[1]];
        for (&item, pixels) in items.iter().zip(read.pixels.chunks_exact_mut(size)) {
            let augmentation = Augmentation::draw(self.seed, epoch, item, room);
            if room == [0, 0] {
                read.indices.push(self.image(item, pixels, &mut read.skipped)?);
            } else {
                read.indices.push(self.image(item, &mut whole, &mut read.skipped)?);
                crop(&whole, [width, channels], augmentation.corner, self.window[1], pixels);
            }
            if self.flip && augmentation.mirrored {
                mirror(pixels, [self.window[1], channels]);
            }
        }
        Ok(read)
    }

    /// Reads an image, or the next readable one if the dataset skips. Returns its index.
    fn image(
        &self,
        index: usize,
        pixels: &mut [u8],
        skipped: &mut Vec<(usize, DataError)>,
    ) -> Result<usize, DataError> {
        let len = self.dataset.len();
        for candidate in (index..len).chain(0..index) {
            match self.dataset.read(candidate, pixels) {
                Ok(()) => return Ok(candidate),
                Err(error) if self.dataset.skips() => skipped.push((candidate, error)),
                Err(error) => return Err(error),
            }
        }
        let last = skipped.pop().map_or(String::new(), |(_, error)| format!("; one is {error}"));
        Err(DataError::Images(format!("none of the {len} can be read any more{last}")))
    }
}

/// The message of a panic.
fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no words")
}
