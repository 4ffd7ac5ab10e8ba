//! Copies to a GPU, its memory statistics, and libtorch's build configuration.

use std::ffi::{CStr, c_char, c_int, c_void};

use tch::{Device, Tensor};

use crate::ffi::{call, call_for_tensor, inkdrop_free, pointer};
use crate::{Result, TorchError};

/// A tensor on a device. From the CPU to a GPU the copy is asynchronous: neither waits for the other, as both
/// do in [`Tensor::to_device`].
///
/// # Errors
/// libtorch cannot copy it.
#[allow(unsafe_code)]
pub fn to_device_async(tensor: &Tensor, device: Device) -> Result<Tensor> {
    if !device.is_cuda() || tensor.device() != Device::Cpu {
        return Ok(tensor.f_to_device(device)?);
    }
    let index = index(device)?;
    // SAFETY: the tensor outlives the call, which makes a new one.
    call_for_tensor(|out, error| unsafe {
        inkdrop_copy_to_gpu(pointer(Some(tensor)), index, out, error)
    })
}

/// Memory of a GPU in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GpuMemory {
    /// Free memory.
    pub free: i64,
    /// Total memory.
    pub total: i64,
    /// Peak of the memory of this process's tensors since [`reset_peak`].
    pub peak: i64,
}

/// Free, total and peak memory of a GPU.
///
/// # Errors
/// `device` is not a GPU, or libtorch cannot use it.
#[allow(unsafe_code)]
pub fn gpu_memory(device: Device) -> Result<GpuMemory> {
    let index = index(device)?;
    let mut numbers = [0i64; 3];
    // SAFETY: the place has room for the three numbers that the shim writes.
    call(|error| unsafe { inkdrop_memory(index, numbers.as_mut_ptr(), error) })?;
    let [free, total, peak] = numbers;
    Ok(GpuMemory { free, total, peak })
}

/// Resets the peak of [`gpu_memory`] to the current use.
///
/// # Errors
/// As [`gpu_memory`].
#[allow(unsafe_code)]
pub fn reset_peak(device: Device) -> Result<()> {
    let index = index(device)?;
    // SAFETY: takes a number; no pointer but the error's.
    call(|error| unsafe { inkdrop_reset_peak(index, error) })
}

/// Build configuration of libtorch: release, compilers, NVIDIA libraries.
///
/// # Errors
/// libtorch fails.
#[allow(unsafe_code)]
pub fn torch_config() -> Result<String> {
    let mut text = std::ptr::null_mut();
    // SAFETY: the shim puts a text of its own making into `text`.
    call(|error| unsafe { inkdrop_config(&mut text, error) })?;
    if text.is_null() {
        return Err(TorchError::message("libtorch does not say what it was built of".to_string()));
    }
    // SAFETY: a non-null text is NUL-terminated, made by inkdrop_text, and ours to free.
    let words = unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned();
    unsafe { inkdrop_free(text) };
    Ok(words)
}

/// The index of a usable GPU.
pub(crate) fn index(device: Device) -> Result<c_int> {
    let Device::Cuda(index) = device else {
        return Err(TorchError::message(format!("device {device:?}: expected a GPU")));
    };
    crate::device::cuda_state().map_err(TorchError::message)?;
    let wrong = |_| TorchError::message(format!("GPU cuda:{index} does not exist"));
    c_int::try_from(index).map_err(wrong)
}

// SAFETY: these are declarations of shim/cuda.h.
#[allow(unsafe_code)]
unsafe extern "C" {
    fn inkdrop_copy_to_gpu(
        tensor: *const c_void,
        device: c_int,
        out: *mut *mut c_void,
        error: *mut *mut c_char,
    ) -> c_int;
    fn inkdrop_memory(device: c_int, numbers: *mut i64, error: *mut *mut c_char) -> c_int;
    fn inkdrop_reset_peak(device: c_int, error: *mut *mut c_char) -> c_int;
    fn inkdrop_config(text: *mut *mut c_char, error: *mut *mut c_char) -> c_int;
}
