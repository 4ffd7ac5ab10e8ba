//! Which items step `s` of a run trains on.

use std::sync::Mutex;

use crate::DataError;
use crate::order::EpochOrder;

/// The batches of a run: each epoch visits every item once, in its own shuffled order, and its
/// last batch is shorter where the batch size doesn't divide the number of items.
///
/// A pure function of (length, batch size, seed, step), so a resumed run continues exactly.
///
/// ```
/// use inkdrop_data::batches::Batches;
/// let batches = Batches::new(10, 4, 7)?;
/// assert_eq!(batches.steps_per_epoch(), 3);
/// assert_eq!(batches.indices(2).len(), 2);
/// # Ok::<(), inkdrop_data::DataError>(())
/// ```
#[derive(Debug)]
pub struct Batches {
    len: usize,
    batch: usize,
    seed: u64,
    /// The order of the epoch asked for last.
    latest: Mutex<Option<(usize, EpochOrder)>>,
}

impl Batches {
    /// Plans batches of `batch` items out of `len`.
    ///
    /// # Errors
    /// [`DataError::Batch`] where `batch` is 0 or greater than `len`.
    pub fn new(len: usize, batch: usize, seed: u64) -> Result<Self, DataError> {
        if batch == 0 || batch > len {
            return Err(DataError::Batch { batch, len });
        }
        Ok(Self { len, batch, seed, latest: Mutex::new(None) })
    }

    /// How many steps visit every item once.
    pub fn steps_per_epoch(&self) -> usize {
        self.len.div_ceil(self.batch)
    }

    /// The epoch of a step, and the step's place within it; both from 0.
    pub fn epoch_and_position(&self, step: usize) -> (usize, usize) {
        (step / self.steps_per_epoch(), step % self.steps_per_epoch())
    }

    /// The items of step `step`, from 0: `batch` of them, or fewer at the end of an epoch.
    pub fn indices(&self, step: usize) -> Vec<usize> {
        let (epoch, position) = self.epoch_and_position(step);
        let start = position * self.batch;
        let end = (start + self.batch).min(self.len);
        // A panic elsewhere can't leave the cached order half written.
        let mut latest = self.latest.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let fresh = || (epoch, EpochOrder::new(self.len, self.seed, epoch as u64));
        let entry = match latest.take() {
            Some(known) if known.0 == epoch => known,
            _ => fresh(),
        };
        let items = entry.1.indices()[start..end].to_vec();
        *latest = Some(entry);
        items
    }
}

impl Clone for Batches {
    fn clone(&self) -> Self {
        Self { latest: Mutex::new(None), ..*self }
    }
}
