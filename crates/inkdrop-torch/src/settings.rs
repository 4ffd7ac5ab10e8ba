//! Switches of libtorch's, and of the memory that it computes in.

use std::ffi::{c_char, c_int};

use crate::Result;
use crate::ffi::call;

/// Lets f32 convolutions and matrix products on a GPU round their factors to TF32
/// (10 bits of mantissa): several times faster, errors near 1e-3. libtorch's own
/// default is yes for convolutions and no for products.
///
/// # Errors
/// libtorch refuses.
#[allow(unsafe_code)]
pub fn allow_tf32(allowed: bool) -> Result<()> {
    // SAFETY: sets two flags of libtorch's; no pointer but the error's.
    call(|error| unsafe { inkdrop_set_tf32(c_int::from(allowed), error) })
}

/// Has the C library keep memory that tensors gave back, instead of handing it to the system and
/// having it cleared anew for the next tensor. For programs that compute for more than a moment;
/// it holds for the whole process.
///
/// The time of a pass with many images falls by a tenth to a fifth. Returns whether this system
/// has the switch (glibc on Linux).
#[allow(unsafe_code)]
pub fn keep_freed_memory() -> bool {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        const TRIM_THRESHOLD: c_int = -1;
        const TOP_PAD: c_int = -2;
        const MMAP_THRESHOLD: c_int = -3;
        // The most that glibc takes; larger tensors still come from the system.
        const LARGEST_KEPT: c_int = 32 << 20;
        const PAD: c_int = 16 << 20;
        // SAFETY: mallopt of glibc takes two integers and changes only where later memory comes from.
        let set = |what, value| unsafe { mallopt(what, value) == 1 };
        set(MMAP_THRESHOLD, LARGEST_KEPT) && set(TRIM_THRESHOLD, c_int::MAX) && set(TOP_PAD, PAD)
    }
    #[cfg(not(all(target_os = "linux", target_env = "gnu")))]
    false
}

// SAFETY: these are the declarations of shim/shim.h, and of malloc.h.
#[allow(unsafe_code)]
unsafe extern "C" {
    fn inkdrop_set_tf32(allowed: c_int, error: *mut *mut c_char) -> c_int;
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    fn mallopt(what: c_int, value: c_int) -> c_int;
}
