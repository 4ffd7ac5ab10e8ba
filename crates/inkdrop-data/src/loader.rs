//! The pixels of each step's batch, ready when the step wants them.

mod batch_sampler;
mod reader;
mod worker_pool;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ndarray::Array4;

use crate::{DataError, Dataset, Images};
pub use batch_sampler::{BatchSampler, ShuffledIndices};
use reader::{Read, Reader};
use worker_pool::WorkerPool;

/// The most threads that read ahead.
pub const MOST_WORKERS: usize = 256;

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
pub struct DataLoaderConfig {
    /// Whether each image is mirrored, left to right, in half of its visits.
    pub flip: bool,
    /// Rows and columns of a window that each visit takes at another place.
    pub crop: Option<[usize; 2]>,
    /// How many threads read ahead, up to [`MOST_WORKERS`]; 0 to read when asked.
    pub workers: usize,
}

/// Reads the batches of a run.
///
/// A batch is a function of the source, of [`BatchSampler`] and of its step alone: neither the number
/// of workers nor the steps that were asked for before change it. Flips and windows are drawn
/// from (seed, epoch, image), so every epoch sees others.
///
/// ```
/// use std::sync::Arc;
/// use inkdrop_data::loader::BatchSampler;
/// use inkdrop_data::loader::{DataLoader, DataLoaderConfig};
/// use inkdrop_data::sprites;
///
/// let images = Arc::new(sprites::dataset(0, 100).images);
/// let config = DataLoaderConfig { flip: true, crop: Some([12, 12]), workers: 2 };
/// let mut loader = DataLoader::new(images, BatchSampler::new(100, 8, 42)?, config)?;
/// for step in 0..3 {
///     assert_eq!(loader.batch(step)?.images.view().shape(), [8, 12, 12, 3]);
/// }
/// # Ok::<(), inkdrop_data::DataError>(())
/// ```
#[derive(Debug)]
pub struct DataLoader {
    batches: BatchSampler,
    reader: Arc<Reader>,
    /// Who reads ahead; nobody with 0 workers.
    workers: Option<WorkerPool>,
    waited: Duration,
    /// Images whose file is known to be broken.
    broken: HashSet<usize>,
    skipped: Vec<DataError>,
}

impl DataLoader {
    /// A loader of the batches of a source.
    ///
    /// # Errors
    /// [`DataError::Images`] where the window has a side of 0 or is larger than the images, or the
    /// batches are of more images than there are; [`DataError::Workers`] where there are more than
    /// [`MOST_WORKERS`], or a thread cannot be started.
    pub fn new(
        source: Arc<dyn Dataset>,
        batches: BatchSampler,
        config: DataLoaderConfig,
    ) -> Result<Self, DataError> {
        if batches.items() > source.len() {
            return Err(DataError::Images(format!(
                "batches of {} images out of {}, expected no more than there are",
                batches.items(),
                source.len()
            )));
        }
        let reader = Arc::new(Reader::new(source, config.flip, config.crop, batches.seed())?);
        let workers = match config.workers {
            0 => None,
            workers => Some(WorkerPool::new(workers, &reader)?),
        };
        let (broken, skipped) = (HashSet::new(), Vec::new());
        Ok(Self { batches, reader, workers, waited: Duration::ZERO, broken, skipped })
    }

    /// Rows, columns and channels of the images of each batch.
    pub fn shape(&self) -> [usize; 3] {
        self.reader.shape()
    }

    /// How many images step `step` takes.
    pub fn images_at(&self, step: usize) -> usize {
        self.batches.len_at(step)
    }

    /// How long all calls of [`DataLoader::batch`] together have waited.
    pub fn waited(&self) -> Duration {
        self.waited
    }

    /// What is wrong with files whose place others have taken since the last call; each file is
    /// reported once.
    pub fn take_skipped(&mut self) -> Vec<DataError> {
        std::mem::take(&mut self.skipped)
    }

    /// The batch of step `step`, from 0; with workers, they begin on the steps behind it.
    ///
    /// # Errors
    /// An image cannot be read: the first of the batch that is so. Other steps are not touched by
    /// it, and the same one may be asked for again.
    pub fn batch(&mut self, step: usize) -> Result<Batch, DataError> {
        let begun = Instant::now();
        let read = match &mut self.workers {
            Some(workers) => workers.read(step, &self.batches),
            None => {
                let (epoch, _) = self.batches.epoch_and_position(step);
                self.reader.read(epoch, &self.batches.indices(step))
            }
        };
        self.waited += begun.elapsed();
        self.finish(read?)
    }

    fn finish(&mut self, read: Read) -> Result<Batch, DataError> {
        for (index, error) in read.skipped {
            if self.broken.insert(index) {
                self.skipped.push(error);
            }
        }
        let [height, width, channels] = self.shape();
        let shape = (read.indices.len(), height, width, channels);
        let pixels = Array4::from_shape_vec(shape, read.pixels)
            .map_err(|error| DataError::Images(error.to_string()))?;
        Ok(Batch { indices: read.indices, images: Images::new(pixels)? })
    }
}
