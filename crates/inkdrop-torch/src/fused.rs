//! Group normalisation on a CPU in one go with what comes before and after it.

use std::ffi::{c_char, c_double, c_int, c_longlong, c_void};

use tch::{Device, Kind, Tensor};

use crate::Result;
use crate::ffi::{call_for_tensor, pointer};

/// What is applied to the result of a layer in the same go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PostOp {
    /// Nothing.
    #[default]
    None,
    /// max(x, 0).
    Relu,
    /// x·σ(x).
    Silu,
    /// x·Φ(x), exact; convolutions only.
    Gelu,
}

/// What a group normalisation is given beside x; all of it [1, C] or [B, C] in f32.
#[derive(Debug, Clone, Copy)]
pub struct GroupNormInputs<'a> {
    /// Groups of channels.
    pub groups: i64,
    /// ε under the root.
    pub eps: f64,
    /// Added to x first.
    pub before: Option<&'a Tensor>,
    /// What the normalised x is multiplied with.
    pub scale: &'a Tensor,
    /// What is added then.
    pub shift: &'a Tensor,
}

/// Whether [`group_norm`] takes this x: f32 on the CPU, [B, C, H, W], no gradients, and channels in
/// multiples of 16.
pub fn takes_group_norm(x: &Tensor, groups: i64) -> bool {
    let size = x.size();
    x.device() == Device::Cpu
        && x.kind() == Kind::Float
        && matches!(size[..], [b, c, h, w] if c % 16 == 0 && c % groups == 0 && b * h * w > 0)
}

/// Group normalisation (Wu & He 2018) of x + before, and an activation, in three readings of x.
/// It has no gradients.
///
/// # Shapes
/// - x: [B, C, H, W]; see [`takes_group_norm`]
/// - returns the same, channels innermost
///
/// # Errors
/// x is not what it takes, or the inputs have other shapes than they say.
#[allow(unsafe_code)]
pub fn group_norm(x: &Tensor, inputs: GroupNormInputs, post_op: PostOp) -> Result<Tensor> {
    let GroupNormInputs { groups, eps, before, scale, shift } = inputs;
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

// SAFETY: this is a declaration of shim/inference.h.
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
