//! Group, batch and RMS normalisation on a CPU, fused with the activation after it.

use tch::{Device, Kind, Tensor};

use crate::{BatchNormOutputs, GroupNormInputs, PostOp, Result, TorchError, kernels, own_kernels};

/// True if [`group_norm`], [`batch_norm`] (C groups) and [`rms_norm`] (one group) support this x: f32 on the CPU,
/// [B, C, H, W], and channels in multiples of 16; false without [`own_kernels`].
pub fn takes_fused_norm(x: &Tensor, groups: i64) -> bool {
    let size = x.size();
    x.device() == Device::Cpu
        && x.kind() == Kind::Float
        && matches!(size[..], [b, c, h, w] if c % 16 == 0 && groups > 0 && c % groups == 0 && b * h * w > 0)
        && own_kernels().unwrap_or(false)
}

/// Fused group normalisation (Wu & He 2018): activation(norm(x + before)·scale + shift), with gradients
/// by x and all rows. It reads x three times, and keeps x alone for the gradients.
///
/// # Shapes
/// - x: [B, C, H, W]; see [`takes_fused_norm`]
/// - returns the same, channels innermost
///
/// # Errors
/// x is not supported, or the inputs have other shapes than documented.
pub fn group_norm(x: &Tensor, inputs: GroupNormInputs, post_op: PostOp) -> Result<Tensor> {
    let GroupNormInputs { groups, before, scale, shift, .. } = inputs;
    let size = x.size();
    if !takes_fused_norm(x, groups) {
        let problem = format!(
            "{size:?} in {groups} groups: expected f32 on the CPU, [B, C, H, W], C a multiple of 16"
        );
        return Err(TorchError::message(problem));
    }
    check_rows(&size, [Some(scale), Some(shift), before])?;
    kernels::group_norm(x, inputs, post_op)
}

/// Checks rows that all images of x [B, C, ...] share, or one for each: [1, C] or [B, C].
fn check_rows<const N: usize>(size: &[i64], rows: [Option<&Tensor>; N]) -> Result<()> {
    let (batch, channels) = (size[0], size[1]);
    let fits = |row: &&Tensor| {
        matches!(row.size()[..], [b, c] if c == channels && (b == 1 || b == batch))
            && row.kind() == Kind::Float
            && row.device() == Device::Cpu
    };
    match rows.into_iter().flatten().find(|row| !fits(row)) {
        Some(row) => Err(TorchError::message(format!(
            "a row for each image has shape {:?}: expected [1, {channels}] or [{batch}, {channels}] in f32",
            row.size()
        ))),
        None => Ok(()),
    }
}

/// Fused RMS normalisation over the channels of each pixel (Zhang & Sennrich 2019):
/// activation(x/‖x‖·scale + shift), with gradients by x, scale and shift. ‖x‖ is at least 1e-12.
///
/// # Shapes
/// - x: [B, C, H, W], as [`takes_fused_norm`]; scale, shift: [1, C] or [B, C] in f32
/// - returns the same, channels innermost
///
/// # Errors
/// x is not supported, or scale and shift have other shapes.
pub fn rms_norm(x: &Tensor, scale: &Tensor, shift: &Tensor, post_op: PostOp) -> Result<Tensor> {
    let size = x.size();
    if !takes_fused_norm(x, 1) {
        let problem =
            format!("{size:?}: expected f32 on the CPU, [B, C, H, W], C a multiple of 16");
        return Err(TorchError::message(problem));
    }
    check_rows(&size, [Some(scale), Some(shift)])?;
    kernels::rms_norm(x, scale, shift, post_op)
}

/// Fused batch normalisation in training (Ioffe & Szegedy 2015): activation(norm(x)·scale + shift) with the
/// statistics of x, with gradients by x, scale and shift. Running statistics are the caller's.
///
/// # Shapes
/// - x: [B, C, H, W], as [`takes_fused_norm`] with C groups; scale, shift: `[C]` in f32
///
/// # Errors
/// x is not supported, or scale and shift have other shapes.
pub fn batch_norm(
    x: &Tensor,
    scale: &Tensor,
    shift: &Tensor,
    eps: f64,
    post_op: PostOp,
) -> Result<BatchNormOutputs> {
    let (size, channels) = (x.size(), scale.numel() as i64);
    let fits = |row: &Tensor| row.size() == [channels] && row.kind() == Kind::Float;
    if size.get(1) != Some(&channels)
        || !takes_fused_norm(x, channels)
        || ![scale, shift].into_iter().all(fits)
    {
        let problem = format!(
            "{size:?} with scale {:?} and shift {:?}: expected [B, C, H, W], [C] and [C] in f32 on the CPU, C a multiple of 16",
            scale.size(),
            shift.size()
        );
        return Err(TorchError::message(problem));
    }
    kernels::batch_norm(x, [scale, shift], eps, post_op)
}
