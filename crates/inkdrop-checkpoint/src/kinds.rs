//! Dtypes, their names in each format, and conversion between bytes and tensors.

use inkdrop_torch::tch::{Device, Kind, Tensor, no_grad_guard};
use inkdrop_torch::{TorchError, tensor_of_bytes};
use safetensors::tensor::Dtype as StoredDtype;

use crate::error::Fault;
use crate::limits::AXES;
use crate::source::Source;

/// A dtype of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Dtype {
    /// PyTorch's name, without the module: `float32`.
    pub(crate) name: &'static str,
    /// Bytes per value.
    pub(crate) size: u64,
    /// The kind of its tensors; `None` if libtorch's bindings have none, as for fp8.
    pub(crate) kind: Option<Kind>,
}

/// A dtype and its names in each format.
struct Names {
    dtype: Dtype,
    safetensors: Option<StoredDtype>,
    /// `torch.FloatStorage`, without the module; empty if it has none.
    storage: &'static str,
}

const fn names(
    kind: Kind,
    size: u64,
    safetensors: StoredDtype,
    name: &'static str,
    storage: &'static str,
) -> Names {
    Names { dtype: Dtype { name, size, kind: Some(kind) }, safetensors: Some(safetensors), storage }
}

/// A dtype whose tensors are not supported.
const fn unsupported(name: &'static str, size: u64, storage: &'static str) -> Names {
    Names { dtype: Dtype { name, size, kind: None }, safetensors: None, storage }
}

const DTYPES: [Names; 28] = [
    names(Kind::Float, 4, StoredDtype::F32, "float32", "FloatStorage"),
    names(Kind::Double, 8, StoredDtype::F64, "float64", "DoubleStorage"),
    names(Kind::Half, 2, StoredDtype::F16, "float16", "HalfStorage"),
    names(Kind::BFloat16, 2, StoredDtype::BF16, "bfloat16", "BFloat16Storage"),
    names(Kind::Int64, 8, StoredDtype::I64, "int64", "LongStorage"),
    names(Kind::Int, 4, StoredDtype::I32, "int32", "IntStorage"),
    names(Kind::Int16, 2, StoredDtype::I16, "int16", "ShortStorage"),
    names(Kind::Int8, 1, StoredDtype::I8, "int8", "CharStorage"),
    names(Kind::Uint8, 1, StoredDtype::U8, "uint8", "ByteStorage"),
    names(Kind::Bool, 1, StoredDtype::BOOL, "bool", "BoolStorage"),
    unsupported("complex32", 4, "ComplexHalfStorage"),
    unsupported("complex64", 8, "ComplexFloatStorage"),
    unsupported("complex128", 16, "ComplexDoubleStorage"),
    unsupported("uint16", 2, "UInt16Storage"),
    unsupported("uint32", 4, "UInt32Storage"),
    unsupported("uint64", 8, "UInt64Storage"),
    unsupported("float8_e5m2", 1, "Float8_e5m2Storage"),
    unsupported("float8_e4m3fn", 1, "Float8_e4m3fnStorage"),
    unsupported("float8_e5m2fnuz", 1, "Float8_e5m2fnuzStorage"),
    unsupported("float8_e4m3fnuz", 1, "Float8_e4m3fnuzStorage"),
    unsupported("float8_e8m0fnu", 1, "Float8_e8m0fnuStorage"),
    unsupported("float4_e2m1fn_x2", 1, ""),
    unsupported("qint8", 1, "QInt8Storage"),
    unsupported("quint8", 1, "QUInt8Storage"),
    unsupported("qint32", 4, "QInt32Storage"),
    unsupported("quint4x2", 1, "QUInt4x2Storage"),
    unsupported("quint2x4", 1, "QUInt2x4Storage"),
    unsupported("bits8", 1, ""),
];

/// The kind of a safetensors dtype; `None` if it is not supported.
pub(crate) fn of_safetensors(dtype: StoredDtype) -> Option<Kind> {
    DTYPES.iter().find(|names| names.safetensors == Some(dtype))?.dtype.kind
}

/// The dtype with a name of PyTorch, such as `float32`.
pub(crate) fn of_torch(name: &str) -> Option<Dtype> {
    DTYPES.iter().find(|names| names.dtype.name == name).map(|names| names.dtype)
}

/// The dtype of a storage class such as `FloatStorage`.
pub(crate) fn of_storage(name: &str) -> Option<Dtype> {
    let found = DTYPES.iter().find(|names| names.storage == name && !name.is_empty());
    found.map(|names| names.dtype)
}

/// The safetensors dtype and the storage class of a kind.
pub(crate) fn stored(kind: Kind) -> Result<(StoredDtype, &'static str), Fault> {
    let names = DTYPES.iter().find(|names| names.dtype.kind == Some(kind));
    let found = names.and_then(|names| Some((names.safetensors?, names.storage)));
    found.ok_or_else(|| Fault::Problem(format!("{kind:?} tensors cannot be stored")))
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

/// A tensor on the CPU with the next `length` bytes of a file, little-endian values in C order, read into
/// the tensor's own memory.
pub(crate) fn read_tensor(
    source: &mut dyn Source,
    length: usize,
    shape: &[i64],
    kind: Kind,
) -> Result<Tensor, Fault> {
    check_size(length, shape, kind)?;
    if kind == Kind::Bool || cfg!(target_endian = "big") {
        let mut values = vec![0; length];
        source.read_exact(&mut values)?;
        return tensor(&values, shape, kind);
    }
    let (tensor, read) = tensor_of_bytes(shape, kind, |bytes| source.read_exact(bytes))?;
    read?;
    Ok(tensor)
}

fn check_size(length: usize, shape: &[i64], kind: Kind) -> Result<(), Fault> {
    let expected = size_of(shape, kind)?;
    if length as u64 == expected {
        return Ok(());
    }
    Err(Fault::Problem(format!(
        "{length} bytes of values, expected {expected} for shape {} of {kind:?}",
        brief(shape)
    )))
}

/// A tensor on the CPU with a copy of little-endian values in C order.
pub(crate) fn tensor(bytes: &[u8], shape: &[i64], kind: Kind) -> Result<Tensor, Fault> {
    check_size(bytes.len(), shape, kind)?;
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
