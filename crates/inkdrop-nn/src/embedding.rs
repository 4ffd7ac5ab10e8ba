//! How a number becomes a vector that a network can use.

use inkdrop_torch::Result;
use inkdrop_torch::tch::{Kind, Tensor};

use crate::{Linear, Scope};

/// The sinusoidal embedding of Ho et al. 2020 in nanodiffusion's form: sines, then cosines.
///
/// # Shapes
/// - t: [B], any real numbers; multiplied by `scale`
/// - dim: even
/// - returns [B, dim] in f32: sin(t·f_i) for i < dim/2, then cos(t·f_i), f_i = 10000^(−i/(dim/2))
///
/// # Errors
/// libtorch cannot allocate it.
pub fn positional_embedding(t: &Tensor, dim: i64, scale: f64) -> Result<Tensor> {
    let angles = angles(&t.f_to_kind(Kind::Float)?.f_mul_scalar(scale)?, dim / 2, 10000.0)?;
    Ok(Tensor::f_cat(&[angles.f_sin()?, angles.f_cos()?], -1)?)
}

/// The sinusoidal embedding in improved-diffusion's form: cosines, then sines.
///
/// # Shapes
/// - t: [B], any real numbers
/// - returns [B, dim] in f32: cos(t·f_i) for i < dim/2, then sin(t·f_i),
///   f_i = max_period^(−i/(dim/2)); an odd dim gets one column of zeros on the right
///
/// # Errors
/// libtorch cannot allocate it.
pub fn timestep_embedding(t: &Tensor, dim: i64, max_period: f64) -> Result<Tensor> {
    let angles = angles(&t.f_to_kind(Kind::Float)?, dim / 2, max_period)?;
    let embedding = Tensor::f_cat(&[angles.f_cos()?, angles.f_sin()?], -1)?;
    Ok(if dim % 2 == 1 { embedding.f_constant_pad_nd([0, 1])? } else { embedding })
}

/// t·f_i, [B, half].
fn angles(t: &Tensor, half: i64, max_period: f64) -> Result<Tensor> {
    let i = Tensor::f_arange(half, (Kind::Float, t.device()))?;
    let frequencies = i.f_mul_scalar(-max_period.ln() / half as f64)?.f_exp()?;
    Ok(t.f_unsqueeze(-1)?.f_mul(&frequencies.f_unsqueeze(0)?)?)
}

/// The sprites notebook's embedding of a vector: Linear · GELU · Linear, keys `model.0` and `model.2`.
#[derive(Debug)]
pub struct EmbedFc {
    first: Linear,
    second: Linear,
}

impl EmbedFc {
    /// An embedding of `inputs` numbers into `outputs` features.
    ///
    /// # Errors
    /// libtorch cannot allocate it.
    pub fn new(scope: &mut Scope, inputs: i64, outputs: i64) -> Result<Self> {
        let mut model = scope.sub("model");
        Ok(Self {
            first: Linear::new(&mut model.sub(0), inputs, outputs)?,
            second: Linear::new(&mut model.sub(2), outputs, outputs)?,
        })
    }

    /// # Shapes
    /// - x: [B, inputs]
    /// - returns [B, outputs, 1, 1], ready to scale or shift feature maps
    ///
    /// # Errors
    /// x has another width.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let h = self.first.forward(x)?.f_gelu("none")?;
        Ok(self.second.forward(&h)?.f_unsqueeze(-1)?.f_unsqueeze(-1)?)
    }
}
