//! The memory of a tensor as bytes.

use tch::{Device, Kind, Tensor};

use crate::{Result, TorchError};

/// A dense tensor on the CPU whose values `fill` writes, in C order and native byte order; large files
/// are read into it without a second copy. Every value of the dtype must be valid for any bytes: `Bool` is
/// refused.
///
/// ```
/// use inkdrop_torch::tch::Kind;
/// use inkdrop_torch::tensor_of_bytes;
///
/// let fill = |bytes: &mut [u8]| bytes.copy_from_slice(&2.5f32.to_ne_bytes());
/// let (tensor, ()) = tensor_of_bytes(&[1], Kind::Float, fill)?;
/// assert_eq!(tensor.double_value(&[0]), 2.5);
/// # Ok::<(), inkdrop_torch::TorchError>(())
/// ```
///
/// # Errors
/// A shape with negative axes, `Bool`, or libtorch is out of memory.
#[allow(unsafe_code)]
pub fn tensor_of_bytes<T>(
    shape: &[i64],
    kind: Kind,
    fill: impl FnOnce(&mut [u8]) -> T,
) -> Result<(Tensor, T)> {
    if kind == Kind::Bool {
        return Err(TorchError::message("bytes are no booleans".to_string()));
    }
    let tensor = Tensor::f_zeros(shape, (kind, Device::Cpu))?;
    let length = tensor.numel() * kind.elt_size_in_bytes();
    if length == 0 {
        return Ok((tensor, fill(&mut [])));
    }
    // SAFETY: a new dense tensor owns `length` initialised bytes at its pointer, and nobody else has it.
    let bytes = unsafe { std::slice::from_raw_parts_mut(tensor.data_ptr().cast::<u8>(), length) };
    let filled = fill(bytes);
    Ok((tensor, filled))
}
