//! Self-attention over all places of an image.

mod block;

pub use block::{AttentionConfig, AttentionKeys, HeadOrder, Projection, SelfAttention};

use inkdrop_torch::Result;
use inkdrop_torch::tch::{Kind, Tensor};

/// softmax(q·kᵀ/√D)·v (Vaswani et al. 2017, eq. 1), in libtorch's fused form.
///
/// ```
/// use inkdrop_nn::{attend, attend_explicitly};
/// use inkdrop_torch::tch::{Device, Kind, Tensor};
///
/// let q = Tensor::randn([2, 4, 64, 16], (Kind::Float, Device::Cpu));
/// let (fused, explicit) = (attend(&q, &q, &q)?, attend_explicitly(&q, &q, &q)?);
/// assert!(fused.allclose(&explicit, 1e-5, 1e-6, false));
/// # Ok::<(), inkdrop_torch::TorchError>(())
/// ```
///
/// # Shapes
/// - q, k, v: [B, heads, T, D]
/// - returns [B, heads, T, D]
///
/// # Errors
/// Shapes that do not fit.
pub fn attend(q: &Tensor, k: &Tensor, v: &Tensor) -> Result<Tensor> {
    // The kernel that never holds T×T weights takes only tensors whose D lies innermost.
    attend_as_they_lie(&q.f_contiguous()?, &k.f_contiguous()?, &v.f_contiguous()?)
}

/// [`attend`] for tensors whose D lies innermost already.
pub(crate) fn attend_as_they_lie(q: &Tensor, k: &Tensor, v: &Tensor) -> Result<Tensor> {
    let mask: Option<&Tensor> = None;
    Ok(Tensor::f_scaled_dot_product_attention(q, k, v, mask, 0.0, false, None, false)?)
}

/// [`attend`] spelled out as improved-diffusion does: q and k each divided by
/// D^(1/4), which half precision bears better, and the softmax in f32.
///
/// It keeps all T×T weights; [`attend`] is held against it in the tests.
///
/// # Shapes
/// - q, k, v: [B, heads, T, D]
/// - returns [B, heads, T, D]
///
/// # Errors
/// Shapes that do not fit.
pub fn attend_explicitly(q: &Tensor, k: &Tensor, v: &Tensor) -> Result<Tensor> {
    let width = q.size().last().copied().unwrap_or(1) as f64;
    let scale = width.powf(-0.25);
    let scores = q.f_mul_scalar(scale)?.f_matmul(&k.f_mul_scalar(scale)?.f_transpose(-2, -1)?)?;
    let precise = if q.kind() == Kind::Double { Kind::Double } else { Kind::Float };
    let weights = scores.f_softmax(-1, precise)?.f_to_kind(q.kind())?;
    Ok(weights.f_matmul(v)?)
}
