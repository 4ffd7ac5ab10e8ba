//! The data loader: batches of images, prefetched by worker threads, with data augmentation.

mod batch_sampler;
mod reader;
mod worker_pool;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::{DataError, Dataset, Images};
pub use batch_sampler::{BatchSampler, ShuffledIndices};
use reader::{Read, Reader};
use worker_pool::WorkerPool;

/// Largest number of worker threads.
pub const MOST_WORKERS: usize = 256;

/// The images of one step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// The index of each image in its dataset.
    pub indices: Vec<usize>,
    /// `[B, H, W, C]`
    pub images: Images,
}

/// Options of a [`DataLoader`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DataLoaderConfig {
    /// Data augmentation: mirrors each image left to right with probability 0.5.
    pub flip: bool,
    /// Data augmentation: rows and columns of random crops.
    pub crop: Option<[usize; 2]>,
    /// Number of worker threads that prefetch batches, up to [`MOST_WORKERS`]; 0 for no prefetch.
    pub workers: usize,
}

/// A data loader: reads the batches of a run, like PyTorch's `DataLoader`.
///
/// A batch is a function of the dataset, the [`BatchSampler`], the data augmentation (`flip`, `crop`) and
/// the step. It does not depend on the number of workers. Data augmentation is drawn from (seed, epoch,
/// image).
///
/// ```
/// use std::sync::Arc;
/// use inkdrop_data::loader::{BatchSampler, DataLoader, DataLoaderConfig};
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
    /// `None` with 0 workers.
    workers: Option<WorkerPool>,
    waited: Duration,
    /// Unreadable images that were reported.
    broken: HashSet<usize>,
    skipped: Vec<DataError>,
}

impl DataLoader {
    /// A data loader of a dataset.
    ///
    /// # Errors
    /// - [`DataError::Images`] if the crop has a side of 0 or is larger than the images, or the
    ///   batches are for a larger dataset
    /// - [`DataError::Workers`] if there are more than [`MOST_WORKERS`], or a thread cannot start
    pub fn new(
        dataset: Arc<dyn Dataset>,
        batches: BatchSampler,
        config: DataLoaderConfig,
    ) -> Result<Self, DataError> {
        if batches.items() > dataset.len() {
            return Err(DataError::Images(format!(
                "batches of {} images out of {}, expected no more than there are",
                batches.items(),
                dataset.len()
            )));
        }
        let reader = Arc::new(Reader::new(dataset, config.flip, config.crop, batches.seed())?);
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

    /// The order of the images, and this process's share of each batch.
    pub fn batches(&self) -> &BatchSampler {
        &self.batches
    }

    /// Total time that calls of [`DataLoader::batch`] have waited.
    pub fn waited(&self) -> Duration {
        self.waited
    }

    /// The errors of images that were skipped since the last call; each image is reported once.
    pub fn take_skipped(&mut self) -> Vec<DataError> {
        std::mem::take(&mut self.skipped)
    }

    /// The batch of step `step`, from 0; workers prefetch the steps after it.
    ///
    /// # Errors
    /// An image cannot be read. Other steps are not affected, and the step may be requested again.
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
        let shape = [read.indices.len(), height, width, channels];
        let images = Images::of_bytes(shape, self.reader.depth(), read.pixels)?;
        Ok(Batch { indices: read.indices, images })
    }
}
