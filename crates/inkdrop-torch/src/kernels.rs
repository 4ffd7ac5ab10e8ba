//! The kernels of the shim as they are: the callers check shapes and dtypes.

use std::ffi::{c_char, c_double, c_int, c_longlong, c_void};

use tch::Tensor;

use crate::Result;
use crate::ffi::{call, call_for_tensor, pointer};

/// Post-op: an activation that a fused kernel applies to its result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PostOp {
    /// No activation.
    #[default]
    None,
    /// max(x, 0).
    Relu,
    /// x·σ(x).
    Silu,
    /// x·Φ(x), exact.
    Gelu,
}

/// Inputs of a fused group normalisation beside x; rows are [1, C] or [B, C] in f32.
#[derive(Debug, Clone, Copy)]
pub struct GroupNormInputs<'a> {
    /// Number of groups of channels.
    pub groups: i64,
    /// ε under the root.
    pub eps: f64,
    /// Bias, added to x before the normalisation.
    pub before: Option<&'a Tensor>,
    /// Scale of the normalised x.
    pub scale: &'a Tensor,
    /// Shift of the normalised x.
    pub shift: &'a Tensor,
}

/// Result of a fused batch normalisation, and the statistics of x: `[C]` each, without gradients.
#[derive(Debug)]
pub struct BatchNormOutputs {
    /// activation(norm(x)·scale + shift), of the shape of x, channels innermost.
    pub y: Tensor,
    /// Mean of a channel.
    pub mean: Tensor,
    /// 1/√(variance + ε) of a channel; the variance is the biased one.
    pub spread: Tensor,
}

/// True if the processor has AVX512-BF16, and the compiler of the kernels knew it.
#[allow(unsafe_code)]
pub(crate) fn has_bf16() -> Result<bool> {
    let mut found: c_int = 0;
    // SAFETY: `found` is a place for one integer.
    call(|error| unsafe { inkdrop_multiplies_bf16(&mut found, error) })?;
    Ok(found != 0)
}

/// The weight in the form of Winograd's algorithm.
#[allow(unsafe_code)]
pub(crate) fn winograd_weight(weight: &Tensor, tile: i64) -> Result<Tensor> {
    // SAFETY: the pointer is that of a live tensor, whose shape the shim checks.
    call_for_tensor(|out, error| unsafe {
        inkdrop_winograd_weight(pointer(Some(weight)), tile as c_int, out, error)
    })
}

/// A convolution with a weight in that form, then `other` is added or an activation applied.
#[allow(unsafe_code)]
pub(crate) fn winograd_packed(
    x: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    other: Option<&Tensor>,
    post_op: PostOp,
) -> Result<Tensor> {
    let (x, weight) = (pointer(Some(x)), pointer(Some(weight)));
    let (bias, other, post_op) = (pointer(Some(bias)), pointer(other), post_op as c_int);
    // SAFETY: the pointers are those of live tensors; the weight is in the form that
    // inkdrop_winograd_weight made.
    call_for_tensor(|out, error| unsafe {
        inkdrop_winograd_conv(x, weight, bias, other, post_op, out, error)
    })
}

/// A convolution in the autograd graph. x has its channels innermost.
#[allow(unsafe_code)]
pub(crate) fn winograd_trained(
    x: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    other: Option<&Tensor>,
    tile: i64,
) -> Result<Tensor> {
    let (x, weight) = (pointer(Some(x)), pointer(Some(weight)));
    let (bias, other, tile) = (pointer(Some(bias)), pointer(other), tile as c_int);
    // SAFETY: the pointers are those of live tensors of the shapes and kinds that the shim takes.
    call_for_tensor(|out, error| unsafe {
        inkdrop_winograd_trained(x, weight, bias, other, tile, out, error)
    })
}

/// Group normalisation, in the autograd graph where it is recorded.
#[allow(unsafe_code)]
pub(crate) fn group_norm(x: &Tensor, inputs: GroupNormInputs, post_op: PostOp) -> Result<Tensor> {
    let GroupNormInputs { groups, eps, before, scale, shift } = inputs;
    let dense = |row: &Tensor| row.f_contiguous();
    let (scale, shift, before) = (dense(scale)?, dense(shift)?, before.map(dense).transpose()?);
    // SAFETY: the pointers are those of live tensors, whose kinds and shapes the callers checked.
    call_for_tensor(|out, error| unsafe {
        inkdrop_group_norm(
            pointer(Some(x)),
            pointer(before.as_ref()),
            pointer(Some(&scale)),
            pointer(Some(&shift)),
            groups,
            eps,
            post_op as c_int,
            out,
            error,
        )
    })
}

/// Batch normalisation with the statistics of x, in the same way.
#[allow(unsafe_code)]
pub(crate) fn batch_norm(
    x: &Tensor,
    [scale, shift]: [&Tensor; 2],
    eps: f64,
    post_op: PostOp,
) -> Result<BatchNormOutputs> {
    let row = |row: &Tensor| row.f_reshape([1, -1]);
    let (scale, shift) = (row(scale)?, row(shift)?);
    let [mut mean, mut spread] = [std::ptr::null_mut(); 2];
    // SAFETY: the pointers are those of live tensors, whose kinds and shapes the caller checked.
    let y = call_for_tensor(|out, error| unsafe {
        inkdrop_batch_norm(
            pointer(Some(x)),
            pointer(Some(&scale)),
            pointer(Some(&shift)),
            eps,
            post_op as c_int,
            out,
            &mut mean,
            &mut spread,
            error,
        )
    })?;
    // SAFETY: on success both are tensors that were made for us alone.
    let [mean, spread] = [mean, spread].map(|made| unsafe { Tensor::from_ptr(made.cast()) });
    Ok(BatchNormOutputs { y, mean, spread })
}

/// RMS normalisation, in the autograd graph where it is recorded.
#[allow(unsafe_code)]
pub(crate) fn rms_norm(
    x: &Tensor,
    scale: &Tensor,
    shift: &Tensor,
    post_op: PostOp,
) -> Result<Tensor> {
    let (x, scale, shift) = (pointer(Some(x)), pointer(Some(scale)), pointer(Some(shift)));
    // SAFETY: the pointers are those of live tensors, whose kinds and shapes the caller checked.
    call_for_tensor(|out, error| unsafe {
        inkdrop_rms_norm(x, scale, shift, post_op as c_int, out, error)
    })
}

// SAFETY: these are the declarations of shim/fused.h.
#[allow(unsafe_code)]
unsafe extern "C" {
    fn inkdrop_multiplies_bf16(found: *mut c_int, error: *mut *mut c_char) -> c_int;
    fn inkdrop_winograd_weight(
        weight: *const c_void,
        tile: c_int,
        out: *mut *mut c_void,
        error: *mut *mut c_char,
    ) -> c_int;
    fn inkdrop_winograd_conv(
        x: *const c_void,
        weight: *const c_void,
        bias: *const c_void,
        other: *const c_void,
        activation: c_int,
        out: *mut *mut c_void,
        error: *mut *mut c_char,
    ) -> c_int;
    fn inkdrop_winograd_trained(
        x: *const c_void,
        weight: *const c_void,
        bias: *const c_void,
        other: *const c_void,
        tile: c_int,
        out: *mut *mut c_void,
        error: *mut *mut c_char,
    ) -> c_int;
    fn inkdrop_group_norm(
        x: *const c_void,
        before: *const c_void,
        scale: *const c_void,
        shift: *const c_void,
        groups: c_longlong,
        eps: c_double,
        activation: c_int,
        out: *mut *mut c_void,
        error: *mut *mut c_char,
    ) -> c_int;
    fn inkdrop_batch_norm(
        x: *const c_void,
        scale: *const c_void,
        shift: *const c_void,
        eps: c_double,
        activation: c_int,
        out: *mut *mut c_void,
        mean: *mut *mut c_void,
        spread: *mut *mut c_void,
        error: *mut *mut c_char,
    ) -> c_int;
    fn inkdrop_rms_norm(
        x: *const c_void,
        scale: *const c_void,
        shift: *const c_void,
        activation: c_int,
        out: *mut *mut c_void,
        error: *mut *mut c_char,
    ) -> c_int;
}
