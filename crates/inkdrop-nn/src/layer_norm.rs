//! Layer normalisation over channels, modulated by a conditioning (adaptive layer norm).

use inkdrop_torch::Result;
use inkdrop_torch::tch::Tensor;

use crate::norm::in_kind_of;

/// Added to the variance.
const EPS: f64 = 1e-6;

/// Layer normalisation of the last axis without parameters (Ba et al. 2016), times 1 + scale, plus shift (Peebles &
/// Xie 2023, section 3.2). It is computed in the dtype of shift and scale, which is f32 in mixed precision.
///
/// ```
/// use inkdrop_nn::modulated_layer_norm;
/// use inkdrop_torch::tch::{Device, Kind, Tensor};
///
/// let x = Tensor::randn([2, 64, 32], (Kind::Float, Device::Cpu));
/// let (shift, scale) = (Tensor::from(0.5f32), Tensor::from(1.0f32));
/// let mean = modulated_layer_norm(&x, &shift, &scale)?.mean(Kind::Float);
/// assert!((mean.double_value(&[]) - 0.5).abs() < 1e-5);
/// # Ok::<(), inkdrop_torch::TorchError>(())
/// ```
///
/// # Shapes
/// - x: [B, T, D]; returns the same
/// - shift, scale: broadcast to it, such as [B, 1, D]
///
/// # Errors
/// Shapes that do not fit.
pub fn modulated_layer_norm(x: &Tensor, shift: &Tensor, scale: &Tensor) -> Result<Tensor> {
    let width = x.size().last().copied().unwrap_or(1);
    in_kind_of(shift, x, |x| {
        let h = x.f_layer_norm([width], None::<&Tensor>, None::<&Tensor>, EPS, false)?;
        Ok(h.f_mul(&scale.f_add_scalar(1.0)?)?.f_add(shift)?)
    })
}
