//! Settings of libtorch and of the C library's allocator.

use std::ffi::{c_char, c_int};
use std::io::Write;

use crate::Result;
use crate::ffi::call;

/// Allows TF32 (10 bits of mantissa) for f32 convolutions and matrix products on a GPU: several times
/// faster, with errors near 1e-3. libtorch's default is on for convolutions and off for products.
///
/// # Errors
/// libtorch returns an error.
#[allow(unsafe_code)]
pub fn allow_tf32(allowed: bool) -> Result<()> {
    // SAFETY: sets two flags of libtorch's; no pointer but the error's.
    call(|error| unsafe { inkdrop_set_tf32(c_int::from(allowed), error) })
}

/// Makes the C library keep freed memory, instead of returning it to the system, which clears it for
/// the next tensor. The setting is global to the process.
///
/// A pass with many images becomes 10 to 20 % faster. Returns true if the system has the setting
/// (glibc on Linux).
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

/// Makes the C library return freed memory to the system once, also after [`keep_freed_memory`]. Without
/// glibc on Linux it does nothing.
#[allow(unsafe_code)]
pub fn give_back_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: malloc_trim of glibc takes a number and changes only memory that nothing uses.
    unsafe {
        malloc_trim(0);
    }
}

/// Ends the process after flushing stdout and stderr, without libtorch's destructors: they only give
/// back memory, which takes 0.1 s.
#[allow(unsafe_code)]
pub fn exit_process(code: u8) -> ! {
    let _ = (std::io::stdout().flush(), std::io::stderr().flush());
    // SAFETY: `_exit` ends the process; there is nothing left to be valid.
    unsafe { _exit(c_int::from(code)) }
}

// SAFETY: these are the declarations of shim/shim.h, of malloc.h and of unistd.h.
#[allow(unsafe_code)]
unsafe extern "C" {
    fn inkdrop_set_tf32(allowed: c_int, error: *mut *mut c_char) -> c_int;
    fn _exit(code: c_int) -> !;
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    fn mallopt(what: c_int, value: c_int) -> c_int;
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    fn malloc_trim(pad: usize) -> c_int;
}
