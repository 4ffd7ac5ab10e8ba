//! NumPy arrays in pickles.

use std::borrow::Cow;

use super::{Heap, Object, Pickle, Value};

/// An array as NumPy pickles it.
pub(crate) struct Array<'a> {
    /// Its dtype, such as `<f4`.
    pub(crate) dtype: String,
    pub(crate) shape: Vec<i64>,
    /// True for Fortran order.
    pub(crate) fortran: bool,
    pub(crate) bytes: Cow<'a, [u8]>,
}

/// The array of a value; `None` if it is not a whole array of numbers.
///
/// `ndarray.__reduce__` gives `_reconstruct(ndarray, (0,), b'b')` and the state
/// `(version, shape, dtype, is_fortran, bytes)`.
pub(crate) fn array(pickle: &Pickle, value: Value) -> Option<Array<'_>> {
    let heap = &pickle.heap;
    let object = object(heap, value, "multiarray._reconstruct")?;
    let &[_, shape, dtype, Value::Bool(fortran), bytes] = heap.tuple(object.state?)? else {
        return None;
    };
    let (dtype, shape) = (dtype_name(heap, dtype)?, heap.sides(shape)?);
    Some(Array { dtype, shape, fortran, bytes: bytes_of(heap, bytes)? })
}

/// The number of an object that is one of NumPy's, f32, f64 or an integer of 32 or 64 bits: `multiarray.scalar`(dtype,
/// bytes).
pub(crate) fn scalar(heap: &Heap, object: &Object) -> Option<Value> {
    if !heap.texts[object.class as usize].ends_with("multiarray.scalar") {
        return None;
    }
    let &[dtype, bytes] = heap.tuple(object.arguments)? else { return None };
    let (dtype, bytes) = (dtype_name(heap, dtype)?, bytes_of(heap, bytes)?);
    Some(match &*dtype {
        "<f4" => Value::Float(f32::from_le_bytes(bytes.as_ref().try_into().ok()?).into()),
        "<f8" => Value::Float(f64::from_le_bytes(bytes.as_ref().try_into().ok()?)),
        "<i4" => Value::Int(i32::from_le_bytes(bytes.as_ref().try_into().ok()?).into()),
        "<i8" => Value::Int(i64::from_le_bytes(bytes.as_ref().try_into().ok()?)),
        _ => return None,
    })
}

/// An object whose class has a name with this ending.
fn object<'a>(heap: &'a Heap, value: Value, class: &str) -> Option<&'a Object> {
    let Value::Object(at) = value else { return None };
    let object = &heap.objects[at as usize];
    heap.texts[object.class as usize].ends_with(class).then_some(object)
}

/// `dtype('u1', False, True)` with the state `(version, byte order, …)`.
fn dtype_name(heap: &Heap, value: Value) -> Option<String> {
    let object = object(heap, value, "numpy.dtype")?;
    let name = heap.text(*heap.tuple(object.arguments)?.first()?)?;
    let order = object.state.and_then(|state| heap.text(*heap.tuple(state)?.get(1)?));
    Some(format!("{}{name}", order.unwrap_or("|")))
}

/// Bytes; those of Python 2 may be read as text, and protocol 2 of Python 3 writes Latin-1 text.
fn bytes_of(heap: &Heap, value: Value) -> Option<Cow<'_, [u8]>> {
    match value {
        Value::Bytes(at) => Some(heap.bytes[at as usize].as_ref().into()),
        Value::Text(at) => Some(heap.texts[at as usize].as_bytes().into()),
        _ => {
            let object = object(heap, value, "_codecs.encode")?;
            let text = heap.text(*heap.tuple(object.arguments)?.first()?)?;
            let bytes: Option<Vec<u8>> = text.chars().map(|c| u8::try_from(c).ok()).collect();
            Some(bytes?.into())
        }
    }
}
