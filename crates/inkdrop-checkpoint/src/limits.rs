//! How much memory a file may ask for, judged by its own length.
//!
//! A file of weights is about as long as the weights in it. Compression, a wider type and shared
//! storages make what is read larger than the file, but not without bound: what a file declares is
//! added up and compared with [`allowed`] *before* memory is taken for it.

use crate::error::Fault;

/// How many times its own length a file may grow in memory.
pub const GROWTH: u64 = 32;

/// What every file may take, however short it is: 16 MiB.
pub const FLOOR: u64 = 16 << 20;

/// How deep dictionaries and lists may be nested.
pub const DEPTH: usize = 64;

/// How many entries the dictionaries and lists of one file may have, all of them together.
pub const ENTRIES: u64 = 1 << 22;

/// How many axes a tensor may have.
pub const AXES: usize = 64;

/// The bytes that a file of this length may take: for its uncompressed entries, for its tensors
/// and for the objects around them, each counted by itself.
///
/// ```
/// use inkdrop_checkpoint::limits::{FLOOR, allowed};
///
/// assert_eq!(allowed(1000), FLOOR);
/// assert_eq!(allowed(1 << 30), 32 << 30);
/// ```
pub fn allowed(file_len: u64) -> u64 {
    file_len.saturating_mul(GROWTH).max(FLOOR)
}

/// What is left of one file's allowance.
#[derive(Debug)]
pub(crate) struct Budget {
    what: &'static str,
    allowed: u64,
    used: u64,
}

impl Budget {
    /// The allowance of a file of this length for one purpose, named in the plural.
    pub(crate) fn new(what: &'static str, file_len: u64) -> Self {
        Self { what, allowed: allowed(file_len), used: 0 }
    }

    /// Counts bytes that are about to be taken.
    pub(crate) fn take(&mut self, bytes: u64) -> Result<(), Fault> {
        self.used = self.used.saturating_add(bytes);
        if self.used <= self.allowed {
            return Ok(());
        }
        Err(Fault::Problem(format!(
            "{} of {} bytes or more are declared, expected at most {} ({GROWTH} times the file, \
             or {FLOOR}); the file is damaged or made to exhaust the memory",
            self.what, self.used, self.allowed
        )))
    }
}
