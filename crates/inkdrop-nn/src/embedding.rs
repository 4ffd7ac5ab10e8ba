//! How a number becomes a vector that a network can use.

use inkdrop_torch::Result;
use inkdrop_torch::tch::{Kind, Tensor};

use crate::{Linear, Scope};

/// The sinusoidal embedding of Ho et al. 2020 in nanodiffusion's form: sines, then cosines.
///
/// # Shapes
/// - t: `[B]`, any real numbers; multiplied by `scale`
/// - dim: even
/// - returns [B, dim] in f32: sin(t·f_i) for i < dim/2, then cos(t·f_i), f_i = 10000^(−i/(dim/2))
///
/// # Errors
/// libtorch cannot allocate it.
pub fn positional_embedding(t: &Tensor, dim: i64, scale: f64) -> Result<Tensor> {
    let half = dim / 2;
    let exponents = ramp(half, t)?.f_mul_scalar(-(10000f64.ln() / half as f64))?;
    let angles = angles(&t.f_to_kind(Kind::Float)?.f_mul_scalar(scale)?, &exponents)?;
    Ok(Tensor::f_cat(&[angles.f_sin()?, angles.f_cos()?], -1)?)
}

/// The sinusoidal embedding in improved-diffusion's form: cosines, then sines.
///
/// # Shapes
/// - t: `[B]`, any real numbers
/// - returns [B, dim] in f32: cos(t·f_i) for i < dim/2, then sin(t·f_i),
///   f_i = max_period^(−i/(dim/2)); an odd dim gets one column of zeros on the right
///
/// # Errors
/// libtorch cannot allocate it.
pub fn timestep_embedding(t: &Tensor, dim: i64, max_period: f64) -> Result<Tensor> {
    let half = dim / 2;
    let exponents = ramp(half, t)?.f_mul_scalar(-max_period.ln())?.f_div_scalar(half as f64)?;
    let angles = angles(&t.f_to_kind(Kind::Float)?, &exponents)?;
    let embedding = Tensor::f_cat(&[angles.f_cos()?, angles.f_sin()?], -1)?;
    Ok(if dim % 2 == 1 { embedding.f_constant_pad_nd([0, 1])? } else { embedding })
}

/// t·exp(exponents), [B, half].
///
/// The exponents are f32 as in the originals, but exp is taken in f64: libtorch's
/// f32 exp differs by a bit from machine to machine, which t = 1000 makes 3e-5.
fn angles(t: &Tensor, exponents: &Tensor) -> Result<Tensor> {
    let frequencies = exponents.f_to_kind(Kind::Double)?.f_exp()?.f_to_kind(Kind::Float)?;
    Ok(t.f_unsqueeze(-1)?.f_mul(&frequencies.f_unsqueeze(0)?)?)
}

/// 0, 1, …, half − 1 in f32.
fn ramp(half: i64, t: &Tensor) -> Result<Tensor> {
    Ok(Tensor::f_arange(half, (Kind::Float, t.device()))?)
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
