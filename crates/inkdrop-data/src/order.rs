//! In which order an epoch visits the items.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// A shuffled order of `len` items: a pure function of seed and epoch, equal on every platform.
///
/// ```
/// use inkdrop_data::order::EpochOrder;
/// let mut items = EpochOrder::new(5, 42, 0).indices().to_vec();
/// items.sort();
/// assert_eq!(items, [0, 1, 2, 3, 4]);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EpochOrder {
    indices: Vec<usize>,
}

impl EpochOrder {
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
