//! Calls of the C++ shim, whose errors are texts.

use std::ffi::{CStr, c_char, c_int, c_void};

use tch::Tensor;

use crate::{Result, TorchError};

/// Calls a function of the shim and turns its text into an error.
#[allow(unsafe_code)]
pub(crate) fn call(function: impl FnOnce(*mut *mut c_char) -> c_int) -> Result<()> {
    let mut error = std::ptr::null_mut();
    if function(&mut error) == 0 {
        return Ok(());
    }
    if error.is_null() {
        return Err(TorchError::message("libtorch failed without a word".to_string()));
    }
    // SAFETY: a non-null text is NUL-terminated, made by inkdrop_text, and ours to free.
    let text = unsafe { CStr::from_ptr(error) }.to_string_lossy().into_owned();
    unsafe { inkdrop_free(error) };
    Err(TorchError::full(text))
}

/// The same for a function that makes a tensor.
#[allow(unsafe_code)]
pub(crate) fn call_for_tensor(
    function: impl FnOnce(*mut *mut c_void, *mut *mut c_char) -> c_int,
) -> Result<Tensor> {
    let mut out = std::ptr::null_mut();
    call(|error| function(&mut out, error))?;
    // SAFETY: on success `out` is a tensor that was made for us alone.
    Ok(unsafe { Tensor::from_ptr(out.cast()) })
}

/// The pointer of a tensor for the shim; null for `None`.
pub(crate) fn pointer(tensor: Option<&Tensor>) -> *const c_void {
    tensor.map_or(std::ptr::null(), |tensor| tensor.as_ptr().cast())
}

// SAFETY: these are the declarations of shim/text.h.
#[allow(unsafe_code)]
unsafe extern "C" {
    pub(crate) fn inkdrop_text(text: *const c_char, length: usize) -> *mut c_char;
    pub(crate) fn inkdrop_free(text: *mut c_char);
}
