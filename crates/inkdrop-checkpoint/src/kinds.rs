//! Dtypes, their names in each format, and conversion between bytes and tensors.

use inkdrop_torch::TorchError;
use inkdrop_torch::tch::{Device, Kind, Tensor, no_grad_guard};
use safetensors::tensor::Dtype;

use crate::error::Fault;
use crate::limits::AXES;

/// A dtype and its names.
struct Names {
    kind: Kind,
    safetensors: Dtype,
    /// `torch.float32`, without the module.
    torch: &'static str,
    /// `torch.FloatStorage`, without the module.
    storage: &'static str,
}

const fn names(
    kind: Kind,
    safetensors: Dtype,
    torch: &'static str,
    storage: &'static str,
) -> Names {
    Names { kind, safetensors, torch, storage }
}

const KINDS: [Names; 10] = [
    names(Kind::Float, Dtype::F32, "float32", "FloatStorage"),
    names(Kind::Double, Dtype::F64, "float64", "DoubleStorage"),
    names(Kind::Half, Dtype::F16, "float16", "HalfStorage"),
    names(Kind::BFloat16, Dtype::BF16, "bfloat16", "BFloat16Storage"),
    names(Kind::Int64, Dtype::I64, "int64", "LongStorage"),
    names(Kind::Int, Dtype::I32, "int32", "IntStorage"),
    names(Kind::Int16, Dtype::I16, "int16", "ShortStorage"),
    names(Kind::Int8, Dtype::I8, "int8", "CharStorage"),
    names(Kind::Uint8, Dtype::U8, "uint8", "ByteStorage"),
    names(Kind::Bool, Dtype::BOOL, "bool", "BoolStorage"),
];

fn kind_where(found: impl Fn(&Names) -> bool) -> Option<Kind> {
    KINDS.iter().find(|names| found(names)).map(|names| names.kind)
}

/// The kind of a safetensors dtype; `None` if it is not supported.
pub(crate) fn of_safetensors(dtype: Dtype) -> Option<Kind> {
    kind_where(|names| names.safetensors == dtype)
}

/// The kind of a torch dtype such as `float32`.
pub(crate) fn of_torch(name: &str) -> Option<Kind> {
    kind_where(|names| names.torch == name)
}

/// The kind of a storage class such as `FloatStorage`.
pub(crate) fn of_storage(name: &str) -> Option<Kind> {
    kind_where(|names| names.storage == name)
}

/// The safetensors dtype and the storage class of a kind.
pub(crate) fn stored(kind: Kind) -> Result<(Dtype, &'static str), Fault> {
    let names = KINDS.iter().find(|names| names.kind == kind);
    let names =
        names.ok_or_else(|| Fault::Problem(format!("{kind:?} tensors cannot be stored")))?;
    Ok((names.safetensors, names.storage))
}

/// The number of values of a shape; an error if it is too large for memory.
///
/// Empty shapes such as `[0, 2⁶²]` are checked by their other axes, like libtorch's strides.
pub(crate) fn numel(shape: &[i64]) -> Result<u64, Fault> {
    let fits = shape.len() <= AXES && shape.iter().all(|&axis| axis >= 0);
    let product = shape.iter().try_fold(8i64, |product, &axis| product.checked_mul(axis.max(1)));
    match product.filter(|_| fits) {
        Some(_) => Ok(shape.iter().product::<i64>() as u64),
        None => Err(Fault::Problem(format!(
            "shape {}, expected at most {AXES} axes and a size that memory can hold",
            brief(shape)
        ))),
    }
}

/// Size in bytes of a tensor of this shape and kind.
pub(crate) fn size_of(shape: &[i64], kind: Kind) -> Result<u64, Fault> {
    Ok(numel(shape)? * kind.elt_size_in_bytes() as u64)
}

/// A shape for an error message.
fn brief(shape: &[i64]) -> String {
    match shape {
        [first, .., last] if shape.len() > 8 => {
            format!("[{first}, … {} axes …, {last}]", shape.len())
        }
        _ => format!("{shape:?}"),
    }
}

/// A tensor on the CPU with a copy of little-endian values in C order.
pub(crate) fn tensor(bytes: &[u8], shape: &[i64], kind: Kind) -> Result<Tensor, Fault> {
    let expected = size_of(shape, kind)?;
    if bytes.len() as u64 != expected {
        return Err(Fault::Problem(format!(
            "{} bytes of values, expected {expected} for shape {} of {kind:?}",
            bytes.len(),
            brief(shape)
        )));
    }
    // Only 0 and 1 are values of a C++ bool.
    if kind == Kind::Bool && bytes.iter().any(|&byte| byte > 1) {
        let bytes: Vec<u8> = bytes.iter().map(|&byte| u8::from(byte != 0)).collect();
        return Ok(Tensor::f_from_data_size(&bytes, shape, kind)?);
    }
    Ok(Tensor::f_from_data_size(bytes, shape, kind)?)
}

/// A tensor's values on the CPU, in C order.
pub(crate) fn bytes(tensor: &Tensor) -> Result<Vec<u8>, TorchError> {
    let _guard = no_grad_guard();
    let flat = tensor.f_detach()?.f_to_device(Device::Cpu)?.f_contiguous()?;
    let mut data = vec![0u8; flat.numel() * flat.f_kind()?.elt_size_in_bytes()];
    flat.f_copy_data_u8(&mut data, flat.numel())?;
    Ok(data)
}

/// Swaps the bytes of each value between big- and little-endian.
pub(crate) fn swap(bytes: &mut [u8], kind: Kind) {
    for value in bytes.chunks_exact_mut(kind.elt_size_in_bytes()) {
        value.reverse();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_shapes_are_shortened() {
        assert_eq!(brief(&[2, 3]), "[2, 3]");
        assert_eq!(brief(&[1, 2, 3, 4, 5, 6, 7, 8]), "[1, 2, 3, 4, 5, 6, 7, 8]");
        assert_eq!(brief(&[7, 2, 3, 4, 5, 6, 1, 8, 9]), "[7, … 9 axes …, 9]");
    }

    #[test]
    fn values_swap_their_bytes_each() {
        let swapped = |kind| {
            let mut bytes = [1, 2, 3, 4, 5, 6, 7, 8];
            swap(&mut bytes, kind);
            bytes
        };
        assert_eq!(swapped(Kind::Uint8), [1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(swapped(Kind::Half), [2, 1, 4, 3, 6, 5, 8, 7]);
        assert_eq!(swapped(Kind::Float), [4, 3, 2, 1, 8, 7, 6, 5]);
        assert_eq!(swapped(Kind::Double), [8, 7, 6, 5, 4, 3, 2, 1]);
    }
}
