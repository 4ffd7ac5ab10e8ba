//! Group normalisation on a CPU, fused with the bias before it and the activation after it.

use tch::{Device, Kind, Tensor};

use crate::{GroupNormInputs, PostOp, Result, TorchError, kernels, own_kernels};

/// True if [`group_norm`] supports this x: f32 on the CPU, [B, C, H, W], and channels in multiples of 16;
/// false without [`own_kernels`].
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
        return Err(TorchError::message(problem));
    }
    if let Some(row) = [Some(scale), Some(shift), before].into_iter().flatten().find(|r| !fits(r)) {
        let problem = format!(
            "a row for each image has shape {:?}: expected [1, {c}] or [{b}, {c}] in f32",
            row.size(),
            b = size[0],
            c = size[1]
        );
        return Err(TorchError::message(problem));
    }
    kernels::group_norm(x, inputs, post_op)
}
