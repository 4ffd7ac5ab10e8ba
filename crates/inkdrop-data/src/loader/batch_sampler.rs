//! Which images step `s` of a run takes: shuffled epochs cut into batches.

use std::ops::Range;
use std::sync::Mutex;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::DataError;

/// A random permutation of `len` items: a pure function of seed and epoch, equal on every platform.
///
/// ```
/// use inkdrop_data::loader::ShuffledIndices;
/// let mut items = ShuffledIndices::new(5, 42, 0).indices().to_vec();
/// items.sort();
/// assert_eq!(items, [0, 1, 2, 3, 4]);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShuffledIndices {
    indices: Vec<usize>,
}

impl ShuffledIndices {
    /// Shuffles 0 to `len` − 1 for one epoch: Fisher–Yates, with one ChaCha stream per epoch.
    pub fn new(len: usize, seed: u64, epoch: u64) -> Self {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        key[8..13].copy_from_slice(b"order");
        let mut rng = ChaCha8Rng::from_seed(key);
        rng.set_stream(epoch);
        let mut indices: Vec<usize> = (0..len).collect();
        for last in (1..len).rev() {
            // 128 bits, so that the bias stays below 2^-32 for any length that fits in memory.
            let chosen = (u128::from(rng.next_u64()) * (last as u128 + 1)) >> 64;
            indices.swap(last, chosen as usize);
        }
        Self { indices }
    }

    /// The items, first to last.
    pub fn indices(&self) -> &[usize] {
        &self.indices
    }

    /// Number of items.
    pub fn len(&self) -> usize {
        self.indices.len()
    }

    /// True if there are no items.
    pub fn is_empty(&self) -> bool {
        self.indices.is_empty()
    }
}

/// Samples the batches of a run: each epoch takes every item once, in a new random order. The last
/// batch of an epoch may be shorter.
///
/// A batch is a pure function of (length, batch size, seed, step), so that a resumed run continues
/// exactly.
///
/// ```
/// use inkdrop_data::loader::BatchSampler;
/// let batches = BatchSampler::new(10, 4, 7)?;
/// assert_eq!(batches.steps_per_epoch(), 3);
/// assert_eq!(batches.indices(2).len(), 2);
///
/// // The second of two processes takes the second half of each batch.
/// let second = batches.clone().shard(1, 2)?;
/// assert_eq!(second.indices(0), batches.indices(0)[2..]);
/// assert_eq!(second.positions(0), 2..4);
/// # Ok::<(), inkdrop_data::DataError>(())
/// ```
#[derive(Debug)]
pub struct BatchSampler {
    len: usize,
    batch: usize,
    seed: u64,
    rank: usize,
    ranks: usize,
    /// The order of the last epoch that was requested.
    latest: Mutex<Option<(usize, ShuffledIndices)>>,
}

impl BatchSampler {
    /// Batches of `batch` items out of `len`.
    ///
    /// # Errors
    /// [`DataError::Batch`] if `batch` is 0 or greater than `len`.
    pub fn new(len: usize, batch: usize, seed: u64) -> Result<Self, DataError> {
        if batch == 0 || batch > len {
            return Err(DataError::Batch { batch, len });
        }
        Ok(Self { len, batch, seed, rank: 0, ranks: 1, latest: Mutex::new(None) })
    }

    /// Shards each batch over several ranks (data-parallel training): this rank takes the items from
    /// rank·B/ranks up to (rank + 1)·B/ranks. All shards together are the unsharded batch.
    ///
    /// The shards of a batch differ by at most one item. Some are empty if an epoch's last batch has
    /// fewer items than ranks.
    ///
    /// - rank: 0 to `ranks` − 1
    /// - ranks: 1 to the batch size
    ///
    /// # Errors
    /// [`DataError::Shard`] if `rank` or `ranks` is out of range.
    pub fn shard(mut self, rank: usize, ranks: usize) -> Result<Self, DataError> {
        if rank >= ranks || ranks > self.batch {
            return Err(DataError::Shard { rank, ranks, batch: self.batch });
        }
        (self.rank, self.ranks) = (rank, ranks);
        Ok(self)
    }

    /// Number of items in the dataset.
    pub fn items(&self) -> usize {
        self.len
    }

    /// Seed of the order.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Number of steps per epoch.
    pub fn steps_per_epoch(&self) -> usize {
        self.len.div_ceil(self.batch)
    }

    /// The epoch of a step, and the position of the step in the epoch; both from 0.
    pub fn epoch_and_position(&self, step: usize) -> (usize, usize) {
        (step / self.steps_per_epoch(), step % self.steps_per_epoch())
    }

    /// Number of items in step `step`, over all ranks.
    pub fn global_len_at(&self, step: usize) -> usize {
        self.span(step).len()
    }

    /// Number of items in step `step` on this rank, without computing their indices.
    pub fn len_at(&self, step: usize) -> usize {
        self.positions(step).len()
    }

    /// Positions of this rank's items in the batch of step `step`.
    pub fn positions(&self, step: usize) -> Range<usize> {
        let items = self.global_len_at(step);
        self.rank * items / self.ranks..(self.rank + 1) * items / self.ranks
    }

    /// The indices of step `step`, from 0, on this rank.
    pub fn indices(&self, step: usize) -> Vec<usize> {
        self.global_indices(step)[self.positions(step)].to_vec()
    }

    /// The indices of step `step`, from 0, over all ranks.
    pub fn global_indices(&self, step: usize) -> Vec<usize> {
        let (epoch, _) = self.epoch_and_position(step);
        // A panic of another thread cannot leave the cached order incomplete.
        let mut latest = self.latest.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let fresh = || (epoch, ShuffledIndices::new(self.len, self.seed, epoch as u64));
        let entry = match latest.take() {
            Some(known) if known.0 == epoch => known,
            _ => fresh(),
        };
        let items = entry.1.indices()[self.span(step)].to_vec();
        *latest = Some(entry);
        items
    }

    /// Start and end of a step in its epoch.
    fn span(&self, step: usize) -> Range<usize> {
        let start = self.epoch_and_position(step).1 * self.batch;
        start..(start + self.batch).min(self.len)
    }
}

impl Clone for BatchSampler {
    fn clone(&self) -> Self {
        Self { latest: Mutex::new(None), ..*self }
    }
}
