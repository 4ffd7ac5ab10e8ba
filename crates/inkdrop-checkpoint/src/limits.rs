//! Memory limits for reading a file, relative to its length.
//!
//! Compression, wider dtypes and shared storages make tensors larger than the file, but not without
//! bound. The declared sizes are added up and compared with [`allowed`] *before* allocation.

use crate::error::Fault;

/// Maximum ratio of memory to file length.
pub const GROWTH: u64 = 32;

/// Memory that every file may use, however short it is: 16 MiB.
pub const FLOOR: u64 = 16 << 20;

/// Maximum nesting depth of dictionaries and lists.
pub const DEPTH: usize = 64;

/// Maximum number of entries in all dictionaries and lists of a file.
pub const ENTRIES: u64 = 1 << 22;

/// Maximum number of axes of a tensor.
pub const AXES: usize = 64;

/// Memory limit in bytes for a file of this length. It applies separately to uncompressed entries,
/// to tensors, and to the objects of a pickle.
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

/// Memory budget for a file.
#[derive(Debug)]
pub(crate) struct Budget {
    what: &'static str,
    allowed: u64,
    used: u64,
}

impl Budget {
    /// The budget of a file of this length for one purpose; `what` names it in the plural.
    pub(crate) fn new(what: &'static str, file_len: u64) -> Self {
        Self { what, allowed: allowed(file_len), used: 0 }
    }

    /// Counts bytes before they are allocated; an error if they exceed the budget.
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
