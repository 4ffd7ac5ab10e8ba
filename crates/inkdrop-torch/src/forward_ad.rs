//! Forward-mode differentiation: Jacobian-vector products (JVP).

use std::cell::Cell;
use std::ffi::{c_char, c_int};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tch::{Tensor, no_grad_guard};

use crate::ffi::call;
use crate::{Result, TorchError};

/// libtorch has one level of forward-mode differentiation for the whole process.
static LEVEL: Mutex<()> = Mutex::new(());

thread_local! {
    /// True while this thread in_jvp in forward mode.
    static ACTIVE: Cell<bool> = const { Cell::new(false) };
}

/// An input of [`jvp`].
#[derive(Debug, Clone, Copy)]
pub struct DualInput<'a> {
    /// The value.
    pub primal: &'a Tensor,
    /// The direction, of the same shape and dtype.
    pub tangent: &'a Tensor,
}

/// The value of a function and its derivative in the direction of the tangents (Jacobian-vector product), by
/// libtorch's forward mode, without a graph for gradients.
///
/// While the function runs, the layers of this workspace use libtorch's operations: kernels of our own have no
/// derivative in forward mode. One thread of the process in_jvp at a time; others wait.
///
/// ```
/// use inkdrop_torch::tch::{Device, Kind, Tensor};
/// use inkdrop_torch::{DualInput, TorchError, jvp};
///
/// let x = Tensor::from_slice(&[0.5f64, 2.0]);
/// let direction = Tensor::from_slice(&[1.0f64, 3.0]);
/// let input = DualInput { primal: &x, tangent: &direction };
/// let (value, derivative) =
///     jvp(&[input], |x| Ok::<_, TorchError>(x[0].f_pow_tensor_scalar(3.0)?))?;
/// assert_eq!(value, Tensor::from_slice(&[0.125f64, 8.0]));
/// assert_eq!(derivative, Tensor::from_slice(&[0.75f64, 36.0])); // 3·x²·direction
/// # Ok::<(), TorchError>(())
/// ```
///
/// - function: gets the inputs in order, and must not call `jvp`
///
/// # Errors
/// Shapes of value and direction differ, an operation has no derivative in forward mode, or that of the function.
pub fn jvp<E: From<TorchError>>(
    inputs: &[DualInput<'_>],
    function: impl FnOnce(&[Tensor]) -> std::result::Result<Tensor, E>,
) -> std::result::Result<(Tensor, Tensor), E> {
    let _guard = no_grad_guard();
    let level = Level::enter()?;
    let duals = inputs.iter().map(|input| level.dual(input)).collect::<Result<Vec<_>>>()?;
    let out = function(&duals)?;
    Ok(level.split(&out)?)
}

/// True while [`jvp`] runs a function in this thread.
pub fn in_jvp() -> bool {
    ACTIVE.get()
}

/// Runs a function whose tensors have no tangents with the kernels of this crate, inside [`jvp`].
pub(crate) fn without<T>(function: impl FnOnce() -> T) -> T {
    let _restored = Active::set(false);
    function()
}

/// Sets the flag of this thread until it is dropped.
struct Active(bool);

impl Active {
    fn set(value: bool) -> Self {
        Self(ACTIVE.replace(value))
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        ACTIVE.set(self.0);
    }
}

/// The level of forward-mode differentiation, which this thread holds.
struct Level {
    index: i64,
    _active: Active,
    _alone: MutexGuard<'static, ()>,
}

impl Level {
    #[allow(unsafe_code)]
    fn enter() -> Result<Self> {
        if in_jvp() {
            let problem =
                "jvp inside of jvp: libtorch has one level of forward-mode differentiation";
            return Err(TorchError::message(problem.to_string()));
        }
        let alone = LEVEL.lock().unwrap_or_else(PoisonError::into_inner);
        let mut index = 0;
        // SAFETY: the pointer is that of a live number.
        call(|error| unsafe { inkdrop_enter_dual_level(&mut index, error) })?;
        Ok(Self { index, _active: Active::set(true), _alone: alone })
    }

    fn dual(&self, input: &DualInput<'_>) -> Result<Tensor> {
        Ok(Tensor::f_internal_make_dual(&input.primal.f_detach()?, input.tangent, self.index)?)
    }

    /// Value and tangent, which is 0 if the value depends on no input.
    fn split(&self, dual: &Tensor) -> Result<(Tensor, Tensor)> {
        let (primal, tangent) = Tensor::f_internal_unpack_dual(dual, self.index)?;
        // The level ends: both must own their values.
        let primal = primal.f_detach_copy()?;
        let tangent = match tangent.defined() {
            true => tangent.f_detach_copy()?,
            false => primal.f_zeros_like()?,
        };
        Ok((primal, tangent))
    }
}

impl Drop for Level {
    #[allow(unsafe_code)]
    fn drop(&mut self) {
        // SAFETY: the level was entered, and is left once. An error would be a level that does not exist.
        let _ = call(|error| unsafe { inkdrop_exit_dual_level(self.index, error) });
    }
}

// SAFETY: these are the declarations of shim/forward_ad.h.
#[allow(unsafe_code)]
unsafe extern "C" {
    fn inkdrop_enter_dual_level(level: *mut i64, error: *mut *mut c_char) -> c_int;
    fn inkdrop_exit_dual_level(level: i64, error: *mut *mut c_char) -> c_int;
}
