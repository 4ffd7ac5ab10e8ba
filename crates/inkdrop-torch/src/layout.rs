//! The order of axes in memory.

use tch::Tensor;

use crate::Result;

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
