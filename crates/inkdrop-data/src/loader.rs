//! The pixels of each step's batch, ready when the step wants them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ndarray::Array4;

use crate::batches::Batches;
use crate::source::Source;
use crate::{DataError, Images};

/// One step's images.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// The number of each image in its source.
    pub indices: Vec<usize>,
    /// `[B, H, W, C]`
    pub images: Images,
}

/// How batches are read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LoaderConfig {
    /// Whether each image is mirrored, left to right, in half of its visits.
    pub flip: bool,
    /// Rows and columns of a window that each visit takes at another place.
    pub crop: Option<[usize; 2]>,
    /// How many threads read ahead; 0 to read when asked.
    pub workers: usize,
}

/// Reads the batches of a run.
#[derive(Debug)]
pub struct Loader {
    source: Arc<dyn Source>,
    batches: Batches,
    waited: Duration,
}

impl Loader {
    /// A loader of the batches of a source.
    ///
    /// # Errors
    /// The window is larger than the images.
    pub fn new(
        source: Arc<dyn Source>,
        batches: Batches,
        _config: LoaderConfig,
    ) -> Result<Self, DataError> {
        Ok(Self { source, batches, waited: Duration::ZERO })
    }

    /// How many images step `step` takes.
    pub fn images_at(&self, step: usize) -> usize {
        self.batches.indices(step).len()
    }

    /// How long all calls of [`Loader::batch`] together have waited.
    pub fn waited(&self) -> Duration {
        self.waited
    }

    /// What is wrong with files whose place others have taken since the last call.
    pub fn take_skipped(&mut self) -> Vec<DataError> {
        Vec::new()
    }

    /// The batch of step `step`, from 0.
    ///
    /// # Errors
    /// An image cannot be read.
    pub fn batch(&mut self, step: usize) -> Result<Batch, DataError> {
        let begun = Instant::now();
        let indices = self.batches.indices(step);
        let [height, width, channels] = self.source.shape();
        let size = height * width * channels;
        let mut bytes = vec![0; indices.len() * size];
        for (&index, pixels) in indices.iter().zip(bytes.chunks_exact_mut(size)) {
            self.source.read(index, pixels)?;
        }
        let shape = (indices.len(), height, width, channels);
        let pixels = Array4::from_shape_vec(shape, bytes)
            .map_err(|error| DataError::Images(error.to_string()))?;
        self.waited += begun.elapsed();
        Ok(Batch { indices, images: Images::new(pixels)? })
    }
}
