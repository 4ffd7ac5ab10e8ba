//! Which images step `s` of a run takes: shuffled epochs cut into batches.

use std::sync::Mutex;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::DataError;

/// A shuffled order of `len` items: a pure function of seed and epoch, equal on every platform.
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
    /// Shuffles 0 to `len` − 1 for one epoch: Fisher and Yates, on one ChaCha stream per epoch.
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

    /// How many items there are.
    pub fn len(&self) -> usize {
        self.indices.len()
    }

    /// Whether there is no item.
    pub fn is_empty(&self) -> bool {
        self.indices.is_empty()
    }
}

/// The batches of a run: each epoch visits every item once, in its own shuffled order, and its
/// last batch is shorter where the batch size doesn't divide the number of items.
///
/// A pure function of (length, batch size, seed, step), so a resumed run continues exactly.
///
/// ```
/// use inkdrop_data::loader::BatchSampler;
/// let batches = BatchSampler::new(10, 4, 7)?;
/// assert_eq!(batches.steps_per_epoch(), 3);
/// assert_eq!(batches.indices(2).len(), 2);
///
/// // The second of two machines takes every other item of each batch.
/// let second = batches.clone().shard(1, 2)?;
/// assert_eq!(second.indices(0), [batches.indices(0)[1], batches.indices(0)[3]]);
/// # Ok::<(), inkdrop_data::DataError>(())
/// ```
#[derive(Debug)]
pub struct BatchSampler {
    len: usize,
    batch: usize,
    seed: u64,
    rank: usize,
    ranks: usize,
    /// The order of the epoch asked for last.
    latest: Mutex<Option<(usize, ShuffledIndices)>>,
}

impl BatchSampler {
    /// Plans batches of `batch` items out of `len`.
    ///
    /// # Errors
    /// [`DataError::Batch`] where `batch` is 0 or greater than `len`.
    pub fn new(len: usize, batch: usize, seed: u64) -> Result<Self, DataError> {
        if batch == 0 || batch > len {
            return Err(DataError::Batch { batch, len });
        }
        Ok(Self { len, batch, seed, rank: 0, ranks: 1, latest: Mutex::new(None) })
    }

    /// The share of one of several ranks: items `rank`, `rank + ranks`, … of each batch, so that
    /// all ranks together take exactly the batches that one alone would.
    ///
    /// The shares of an epoch's last batch differ by at most one item, and are empty for the last
    /// ranks where it has fewer items than there are ranks.
    ///
    /// - rank: 0 to `ranks` − 1
    /// - ranks: 1 to the batch size
    ///
    /// # Errors
    /// [`DataError::Shard`] where `rank` or `ranks` is outside these ranges.
    pub fn shard(mut self, rank: usize, ranks: usize) -> Result<Self, DataError> {
        if rank >= ranks || ranks > self.batch {
            return Err(DataError::Shard { rank, ranks, batch: self.batch });
        }
        (self.rank, self.ranks) = (rank, ranks);
        Ok(self)
    }

    /// How many items there are, those of all ranks together.
    pub fn items(&self) -> usize {
        self.len
    }

    /// What the order of the items is drawn from.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// How many steps visit every item once.
    pub fn steps_per_epoch(&self) -> usize {
        self.len.div_ceil(self.batch)
    }

    /// The epoch of a step, and the step's place within it; both from 0.
    pub fn epoch_and_position(&self, step: usize) -> (usize, usize) {
        (step / self.steps_per_epoch(), step % self.steps_per_epoch())
    }

    /// How many items step `step` takes, those of all ranks together.
    pub fn global_len_at(&self, step: usize) -> usize {
        let (start, end) = self.span(step);
        end - start
    }

    /// How many items step `step` takes on this rank, without working out which.
    pub fn len_at(&self, step: usize) -> usize {
        self.global_len_at(step).saturating_sub(self.rank).div_ceil(self.ranks)
    }

    /// The items of step `step`, from 0: `batch` of them, or fewer at the end of an epoch; of
    /// these, the share of this rank.
    pub fn indices(&self, step: usize) -> Vec<usize> {
        let (epoch, _) = self.epoch_and_position(step);
        let (start, end) = self.span(step);
        // A panic elsewhere can't leave the cached order half written.
        let mut latest = self.latest.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let fresh = || (epoch, ShuffledIndices::new(self.len, self.seed, epoch as u64));
        let entry = match latest.take() {
            Some(known) if known.0 == epoch => known,
            _ => fresh(),
        };
        let all = &entry.1.indices()[start..end];
        let items = all.iter().skip(self.rank).step_by(self.ranks).copied().collect();
        *latest = Some(entry);
        items
    }

    /// Where in its epoch a step begins and ends.
    fn span(&self, step: usize) -> (usize, usize) {
        let start = self.epoch_and_position(step).1 * self.batch;
        (start, (start + self.batch).min(self.len))
    }
}

impl Clone for BatchSampler {
    fn clone(&self) -> Self {
        Self { latest: Mutex::new(None), ..*self }
    }
}
