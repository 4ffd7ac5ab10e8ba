//! The kernels of this crate for the CPU: their instruction set, and whether they are used.

use std::ffi::{c_char, c_int};
use std::fmt;
use std::sync::OnceLock;

use crate::ffi::call;
use crate::forward_ad::in_jvp;
use crate::{Result, TorchError, kernels};

/// Instruction set that this crate's kernels are compiled for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Isa {
    /// What every processor of the architecture has: SSE2 on x86-64, NEON on aarch64.
    Baseline,
    /// AVX2 and FMA.
    Avx2,
    /// AVX-512 F, VL, DQ and BW.
    Avx512,
    /// The same and BF16: products of bf16, summed in f32.
    Avx512Bf16,
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Baseline => "baseline",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
            Self::Avx512Bf16 => "avx512_bf16",
        })
    }
}

/// The instruction set that was chosen in this process: the best one of the processor, up to the
/// environment variable `INKDROP_MAX_ISA` (`avx512_bf16`, `avx512`, `avx2` or `baseline`), which is read
/// once. libtorch has variables of its own: `ATEN_CPU_CAPABILITY` and `ONEDNN_MAX_CPU_ISA`.
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
        3 => Isa::Avx512Bf16,
        2 => Isa::Avx512,
        1 => Isa::Avx2,
        _ => Isa::Baseline,
    })
}

/// How far this crate's kernels are used; the environment variable `INKDROP_KERNELS`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Use {
    /// After a check in the first use: `checked`, or no variable.
    Checked,
    /// Without the check: `unchecked`.
    Unchecked,
    /// Not at all; libtorch's operations take their place: `off`.
    Off,
}

impl Use {
    fn of(name: Option<&str>) -> Result<Self> {
        match name {
            None | Some("checked") => Ok(Self::Checked),
            Some("unchecked") => Ok(Self::Unchecked),
            Some("off") => Ok(Self::Off),
            Some(other) => Err(TorchError::message(format!(
                "INKDROP_KERNELS is '{other}', expected checked, unchecked or off"
            ))),
        }
    }
}

/// True if this crate's kernels for the CPU (Winograd's algorithm, group normalisation, dropout) are used in
/// this process, as the environment variable `INKDROP_KERNELS` says, which is read once: `checked` (the
/// default), `unchecked` or `off`. The check compares them with libtorch's operations once, which takes
/// about a millisecond; if they differ, a line on stderr says so, and libtorch's are used. Inside
/// [`jvp`](crate::jvp) they are not used.
///
/// # Errors
/// `INKDROP_KERNELS` is something else, or [`isa`] returns an error.
pub fn own_kernels() -> Result<bool> {
    if in_jvp() {
        return Ok(false);
    }
    static USED: OnceLock<bool> = OnceLock::new();
    if let Some(used) = USED.get() {
        return Ok(*used);
    }
    let isa = isa()?;
    let used = match Use::of(std::env::var("INKDROP_KERNELS").ok().as_deref())? {
        Use::Off => false,
        Use::Unchecked => true,
        Use::Checked => {
            let problem = crate::self_check::problem()?;
            if let Some(problem) = &problem {
                eprintln!(
                    "warning: {problem} (kernels for {isa}); libtorch's are used instead (please \
                     report it with the output of `inkdrop --version -v`)"
                );
            }
            problem.is_none()
        }
    };
    Ok(*USED.get_or_init(|| used))
}

/// True if convolutions on the CPU take weights in bf16 and sum the products in f32 in this process
/// ([`PackedConv`](crate::PackedConv)): the processor has AVX512-BF16, and [`own_kernels`] are used.
///
/// # Errors
/// As [`own_kernels`].
pub fn multiplies_bf16() -> Result<bool> {
    Ok(kernels::has_bf16()? && own_kernels()?)
}

// SAFETY: this is the declaration of shim/cpu.h.
#[allow(unsafe_code)]
unsafe extern "C" {
    fn inkdrop_isa(isa: *mut c_int, error: *mut *mut c_char) -> c_int;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_has_three_values() {
        let of = |name| Use::of(name).map_err(|error| error.to_string());
        assert_eq!(of(None), Ok(Use::Checked));
        assert_eq!(of(Some("checked")), Ok(Use::Checked));
        assert_eq!(of(Some("unchecked")), Ok(Use::Unchecked));
        assert_eq!(of(Some("off")), Ok(Use::Off));
        let error = of(Some("fast")).expect_err("no such value");
        assert!(error.contains("'fast', expected checked, unchecked or off"), "{error}");
    }
}
