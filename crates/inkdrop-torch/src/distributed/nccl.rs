//! NCCL for the GPUs of a process group; its library is opened at run time.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use tch::Device;

use super::{ProcessGroup, text};
use crate::ffi::{call, inkdrop_free};
use crate::{Result, TorchError};

/// Identifies a communicator of NCCL. One process makes it, and all processes need it; as text it goes
/// through a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NcclId([u8; 128]);

impl NcclId {
    /// Makes an identification.
    ///
    /// # Errors
    /// The library is missing or too old.
    #[allow(unsafe_code)]
    pub fn new() -> Result<Self> {
        let mut bytes = [0u8; 128];
        // SAFETY: the place has room for the 128 bytes that the shim writes.
        call(|error| unsafe { inkdrop_nccl_id(bytes.as_mut_ptr().cast(), error) })?;
        Ok(Self(bytes))
    }
}

/// Checks that NCCL can be used.
///
/// # Errors
/// The library is missing or too old.
#[allow(unsafe_code)]
pub fn check_nccl() -> Result<()> {
    // SAFETY: without a place the shim writes nothing.
    call(|error| unsafe { inkdrop_nccl_id(std::ptr::null_mut(), error) })
}

impl fmt::Display for NcclId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for NcclId {
    type Err = TorchError;

    fn from_str(text: &str) -> Result<Self> {
        let byte = |at: usize| u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok();
        let bytes: Option<Vec<u8>> = (0..128).map(byte).collect();
        let bytes = bytes.filter(|_| text.len() == 256).and_then(|bytes| bytes.try_into().ok());
        let wrong = || TorchError::message(format!("{text:?} is not an identification of NCCL"));
        bytes.map(Self).ok_or_else(wrong)
    }
}

/// What a communicator of NCCL is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NcclState {
    /// Age of the oldest collective that has not ended; zero without one.
    pub oldest: Duration,
    /// An error that NCCL found in the background, such as a lost connection.
    pub error: Option<String>,
}

impl ProcessGroup {
    /// Uses NCCL for the collectives of tensors on a GPU from now on. All processes call it together, each
    /// with a GPU of its own. Gloo stays for tensors on the CPU.
    ///
    /// - device: a GPU; the CPU works with a library of the tests only
    ///
    /// # Errors
    /// The library is missing or too old, or two processes have one GPU.
    #[allow(unsafe_code)]
    pub fn use_nccl(&mut self, id: &NcclId, device: Device) -> Result<()> {
        let device = match device {
            Device::Cuda(index) => index as c_int,
            _ => -1,
        };
        // SAFETY: the handle is alive, and nobody else uses it; the shim copies the 128 bytes.
        call(|error| unsafe {
            inkdrop_group_add_nccl(self.handle, id.0.as_ptr().cast(), device, error)
        })
    }

    /// The state of the communicator, without waiting for anything.
    ///
    /// # Errors
    /// The group has no communicator, or NCCL failed.
    #[allow(unsafe_code)]
    pub fn nccl_state(&self) -> Result<NcclState> {
        let (mut oldest, mut found) = (0, std::ptr::null_mut());
        // SAFETY: the handle is alive, and both places during the call.
        call(|error| unsafe {
            inkdrop_group_nccl_state(self.handle, &mut oldest, &mut found, error)
        })?;
        let error = (!found.is_null()).then(|| {
            // SAFETY: a NUL-terminated text of inkdrop_text, and ours to free.
            let text = unsafe { CStr::from_ptr(found) }.to_string_lossy().into_owned();
            unsafe { inkdrop_free(found) };
            text
        });
        Ok(NcclState { oldest: Duration::from_millis(oldest.unsigned_abs()), error })
    }

    /// Ends all collectives of NCCL in this process, also those that another thread waits for; later ones
    /// fail with the reason.
    ///
    /// # Errors
    /// The group has no communicator, or NCCL failed.
    #[allow(unsafe_code)]
    pub fn abort_nccl(&self, reason: &str) -> Result<()> {
        let reason = text(reason)?;
        // SAFETY: the handle is alive, and the text during the call.
        call(|error| unsafe { inkdrop_group_nccl_abort(self.handle, reason.as_ptr(), error) })
    }
}

// SAFETY: these are the declarations of shim/distributed.h.
#[allow(unsafe_code)]
unsafe extern "C" {
    fn inkdrop_nccl_id(id: *mut c_char, error: *mut *mut c_char) -> c_int;
    fn inkdrop_group_add_nccl(
        group: *mut c_void,
        id: *const c_char,
        device: c_int,
        error: *mut *mut c_char,
    ) -> c_int;
    fn inkdrop_group_nccl_state(
        group: *mut c_void,
        oldest_ms: *mut i64,
        found: *mut *mut c_char,
        error: *mut *mut c_char,
    ) -> c_int;
    fn inkdrop_group_nccl_abort(
        group: *mut c_void,
        reason: *const c_char,
        error: *mut *mut c_char,
    ) -> c_int;
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn identifications_survive_as_text() {
        let id = NcclId(std::array::from_fn(|at| (at * 37) as u8));
        assert_eq!(id.to_string().parse::<NcclId>().unwrap(), id);
        for wrong in ["", "ab", &"g".repeat(256), &"0".repeat(258)] {
            assert!(wrong.parse::<NcclId>().is_err(), "{wrong}");
        }
    }
}
