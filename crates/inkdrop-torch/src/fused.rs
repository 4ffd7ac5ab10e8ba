//! Group normalisation on a CPU, fused with the bias before it and the activation after it.

use std::ffi::{c_char, c_double, c_int, c_longlong, c_void};

use tch::{Device, Kind, Tensor};

use crate::ffi::{call_for_tensor, pointer};
use crate::{Result, own_kernels};

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
    /// x·Φ(x), exact; convolutions only.
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

/// True if the channels of x [B, C, H, W] are innermost in memory (PyTorch's `channels_last`).
pub fn is_channels_last(x: &Tensor) -> bool {
    match x.size()[..] {
        [_, c, h, w] => x.stride() == [c * h * w, 1, c * w, c],
        _ => false,
    }
}

/// x with its channels innermost in memory (PyTorch's `channels_last`); x itself where they are.
///
/// # Shapes
/// - x: [B, C, H, W]; returns the same
///
/// # Errors
/// x has other axes.
pub fn channels_last(x: &Tensor) -> Result<Tensor> {
    Ok(x.f_permute([0, 2, 3, 1])?.f_contiguous()?.f_permute([0, 3, 1, 2])?)
}

/// True if [`group_norm`] supports this x: f32 on the CPU, [B, C, H, W], and channels in multiples of 16;
/// false without [`own_kernels`](crate::own_kernels).
pub fn takes_group_norm(x: &Tensor, groups: i64) -> bool {
    let size = x.size();
    x.device() == Device::Cpu
        && x.kind() == Kind::Float
        && matches!(size[..], [b, c, h, w] if c % 16 == 0 && c % groups == 0 && b * h * w > 0)
        && own_kernels().unwrap_or(false)
}

/// Fused group normalisation (Wu & He 2018): activation(norm(x + before)·scale + shift), with gradients
/// by x and all rows. It reads x three times, and keeps x alone for the gradients.
///
/// # Shapes
/// - x: [B, C, H, W]; see [`takes_group_norm`]
/// - returns the same, channels innermost
///
/// # Errors
/// x is not supported, or the inputs have other shapes than documented.
pub fn group_norm(x: &Tensor, inputs: GroupNormInputs, post_op: PostOp) -> Result<Tensor> {
    let GroupNormInputs { groups, before, scale, shift, .. } = inputs;
    let size = x.size();
    let fits = |row: &Tensor| {
        matches!(row.size()[..], [b, c] if c == size[1] && (b == 1 || b == size[0]))
            && row.kind() == Kind::Float
            && row.device() == Device::Cpu
    };
    if !takes_group_norm(x, groups) || post_op == PostOp::Gelu {
        let problem = format!(
            "{size:?} in {groups} groups: expected f32 on the CPU, [B, C, H, W], C a multiple of 16"
        );
        return Err(crate::TorchError::message(problem));
    }
    if let Some(row) = [Some(scale), Some(shift), before].into_iter().flatten().find(|r| !fits(r)) {
        let problem = format!(
            "a row for each image has shape {:?}: expected [1, {c}] or [{b}, {c}] in f32",
            row.size(),
            b = size[0],
            c = size[1]
        );
        return Err(crate::TorchError::message(problem));
    }
    run_group_norm(x, inputs, post_op)
}

/// Calls the kernel; all shapes and dtypes fit.
#[allow(unsafe_code)]
pub(crate) fn run_group_norm(
    x: &Tensor,
    inputs: GroupNormInputs,
    post_op: PostOp,
) -> Result<Tensor> {
    let GroupNormInputs { groups, eps, before, scale, shift } = inputs;
    let dense = |row: &Tensor| row.f_contiguous();
    let (scale, shift, before) = (dense(scale)?, dense(shift)?, before.map(dense).transpose()?);
    // SAFETY: the pointers are those of live tensors, whose kinds and shapes were checked above.
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

// SAFETY: this is a declaration of shim/fused.h.
#[allow(unsafe_code)]
unsafe extern "C" {
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
}
