//! Fused optimiser operations on lists of tensors: on a GPU one kernel for hundreds of tensors, on a
//! CPU one pass over each.

use std::ffi::{c_char, c_double, c_int, c_void};

use tch::Tensor;

use crate::ffi::{call, call_for_tensor, pointer};
use crate::{Result, TorchError};

/// A parameter with its gradient and moment estimates, all of one dtype and shape.
#[derive(Debug)]
pub struct AdamTensors<'a> {
    /// The parameter; updated.
    pub parameter: &'a Tensor,
    /// Its gradient.
    pub gradient: &'a Tensor,
    /// First moment estimate; updated.
    pub mean: &'a Tensor,
    /// Second moment estimate; updated.
    pub square: &'a Tensor,
}

/// Hyperparameters of one step of Adam.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamNumbers {
    /// Learning rate.
    pub lr: f64,
    /// Decay rates β₁, β₂ of the moment estimates.
    pub betas: [f64; 2],
    /// Decoupled weight decay.
    pub weight_decay: f64,
    /// ε, added to the root of the second moment.
    pub eps: f64,
}

/// One step of Adam with decoupled weight decay (Loshchilov & Hutter 2019, algorithm 2) in libtorch's
/// fused form.
///
/// - step: one f32 on the tensors' device, the number of this step, from 1
/// - skip: one f32 there; if it is 1, nothing is updated, without waiting for the device
///
/// # Errors
/// Tensors of different shapes, kinds or devices.
#[allow(unsafe_code)]
pub fn adamw(
    tensors: &[AdamTensors],
    step: &Tensor,
    numbers: AdamNumbers,
    skip: Option<&Tensor>,
) -> Result<()> {
    for AdamTensors { parameter, gradient, mean, square } in tensors {
        let size = parameter.size();
        if [gradient, mean, square].iter().any(|tensor| tensor.size() != size) {
            return Err(differ(parameter, gradient));
        }
    }
    if tensors.is_empty() {
        return Ok(());
    }
    let parameters = pointers(tensors.iter().map(|tensor| tensor.parameter));
    let gradients = pointers(tensors.iter().map(|tensor| tensor.gradient));
    let means = pointers(tensors.iter().map(|tensor| tensor.mean));
    let squares = pointers(tensors.iter().map(|tensor| tensor.square));
    let AdamNumbers { lr, betas: [beta1, beta2], weight_decay, eps } = numbers;
    // SAFETY: four lists of as many pointers to live tensors, whose shapes agree.
    call(|error| unsafe {
        inkdrop_adamw(
            parameters.as_ptr(),
            gradients.as_ptr(),
            means.as_ptr(),
            squares.as_ptr(),
            tensors.len(),
            pointer(Some(step)),
            lr,
            beta1,
            beta2,
            weight_decay,
            eps,
            pointer(skip),
            error,
        )
    })
}

/// Linear interpolation of each tensor towards its partner; a weight above 1 extrapolates.
///
/// # Errors
/// Partners of other shapes, kinds or devices.
#[allow(unsafe_code)]
pub fn lerp_all(pairs: &[(&Tensor, &Tensor)], share: f64) -> Result<()> {
    if let Some((from, to)) = pairs.iter().find(|(from, to)| from.size() != to.size()) {
        return Err(differ(from, to));
    }
    if pairs.is_empty() {
        return Ok(());
    }
    let from = pointers(pairs.iter().map(|pair| pair.0));
    let to = pointers(pairs.iter().map(|pair| pair.1));
    // SAFETY: two lists of as many pointers to live tensors, whose shapes agree.
    call(|error| unsafe { inkdrop_lerp_all(from.as_ptr(), to.as_ptr(), pairs.len(), share, error) })
}

/// Global norm of all tensors, as a scalar tensor on their device; at least one tensor.
///
/// # Errors
/// There are none, or they are on different devices.
#[allow(unsafe_code)]
pub fn norm_of_all(tensors: &[&Tensor]) -> Result<Tensor> {
    let all = pointers(tensors.iter().copied());
    // SAFETY: a list of pointers to live tensors.
    call_for_tensor(|out, error| unsafe {
        inkdrop_norm_of_all(all.as_ptr(), tensors.len(), out, error)
    })
}

/// Frees the gradients of all tensors (`zero_grad(set_to_none=True)`). The next backward pass allocates new
/// ones.
///
/// # Errors
/// libtorch fails.
#[allow(unsafe_code)]
pub fn free_gradients(tensors: &[&Tensor]) -> Result<()> {
    let all = pointers(tensors.iter().copied());
    // SAFETY: a list of pointers to live tensors.
    call(|error| unsafe { inkdrop_free_gradients(all.as_ptr(), tensors.len(), error) })
}

/// Multiplies all tensors by a scalar tensor on their device.
///
/// # Errors
/// They are on different devices.
#[allow(unsafe_code)]
pub fn scale_all(tensors: &[&Tensor], factor: &Tensor) -> Result<()> {
    if tensors.is_empty() {
        return Ok(());
    }
    let all = pointers(tensors.iter().copied());
    let factor = pointer(Some(factor));
    // SAFETY: a list of pointers to live tensors, and one more.
    call(|error| unsafe { inkdrop_scale_all(all.as_ptr(), tensors.len(), factor, error) })
}

fn pointers<'a>(tensors: impl Iterator<Item = &'a Tensor>) -> Vec<*const c_void> {
    tensors.map(|tensor| pointer(Some(tensor))).collect()
}

fn differ(one: &Tensor, other: &Tensor) -> TorchError {
    TorchError::message(format!(
        "{:?} and {:?}: expected tensors of one shape",
        one.size(),
        other.size()
    ))
}

// SAFETY: these are the declarations of shim/optimiser.h.
#[allow(unsafe_code)]
unsafe extern "C" {
    fn inkdrop_adamw(
        parameters: *const *const c_void,
        gradients: *const *const c_void,
        means: *const *const c_void,
        squares: *const *const c_void,
        count: usize,
        step: *const c_void,
        lr: c_double,
        beta1: c_double,
        beta2: c_double,
        weight_decay: c_double,
        eps: c_double,
        skip: *const c_void,
        error: *mut *mut c_char,
    ) -> c_int;
    fn inkdrop_lerp_all(
        from: *const *const c_void,
        to: *const *const c_void,
        count: usize,
        share: c_double,
        error: *mut *mut c_char,
    ) -> c_int;
    fn inkdrop_norm_of_all(
        tensors: *const *const c_void,
        count: usize,
        out: *mut *mut c_void,
        error: *mut *mut c_char,
    ) -> c_int;
    fn inkdrop_free_gradients(
        tensors: *const *const c_void,
        count: usize,
        error: *mut *mut c_char,
    ) -> c_int;
    fn inkdrop_scale_all(
        tensors: *const *const c_void,
        count: usize,
        factor: *const c_void,
        error: *mut *mut c_char,
    ) -> c_int;
}
