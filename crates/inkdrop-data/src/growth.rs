//! How much packed data may grow, against files that are made to exhaust the memory.

/// Largest ratio of unpacked to packed bytes; pictures and arrays of pictures stay below it.
const GROWTH: u64 = 64;

/// Maximum number of unpacked bytes.
///
/// - packed: bytes of the file or the member
/// - floor: bytes that are always accepted
pub(crate) fn most_unpacked(packed: u64, floor: u64) -> u64 {
    packed.saturating_mul(GROWTH).max(floor)
}
