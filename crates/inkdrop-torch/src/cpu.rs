//! The instruction set of the processor that our kernels use.

use std::ffi::{c_char, c_int};
use std::fmt;

use crate::Result;
use crate::ffi::call;

/// Instruction set that this crate's kernels are compiled for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Isa {
    /// What every processor of the architecture has: SSE2 on x86-64, NEON on aarch64.
    Baseline,
    /// AVX2 and FMA.
    Avx2,
    /// AVX-512 F, VL, DQ and BW.
    Avx512,
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Baseline => "baseline",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
        })
    }
}

/// The instruction set that was chosen in this process: the best one of the processor, up to the
/// environment variable `INKDROP_MAX_ISA` (`avx512`, `avx2` or `baseline`), which is read once. libtorch
/// has variables of its own: `ATEN_CPU_CAPABILITY` and `ONEDNN_MAX_CPU_ISA`.
///
/// ```
/// let isa = inkdrop_torch::isa()?;
/// println!("kernels for {isa}");
/// # Ok::<(), inkdrop_torch::TorchError>(())
/// ```
///
/// # Errors
/// `INKDROP_MAX_ISA` is something else.
#[allow(unsafe_code)]
pub fn isa() -> Result<Isa> {
    let mut isa: c_int = 0;
    // SAFETY: `isa` is a place for one integer.
    call(|error| unsafe { inkdrop_isa(&mut isa, error) })?;
    Ok(match isa {
        2 => Isa::Avx512,
        1 => Isa::Avx2,
        _ => Isa::Baseline,
    })
}

// SAFETY: this is the declaration of shim/cpu.h.
#[allow(unsafe_code)]
unsafe extern "C" {
    fn inkdrop_isa(isa: *mut c_int, error: *mut *mut c_char) -> c_int;
}
