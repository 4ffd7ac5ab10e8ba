//! Sinusoidal timestep embeddings in the published forms, and the sprites notebook's embedding MLP.

use inkdrop_torch::Result;
use inkdrop_torch::tch::{Device, Kind, Tensor};

use crate::{Activation, Mlp, Scope};

/// The sinusoidal timestep embedding of nanodiffusion (family `ddpm`): sines, then
/// cosines, with frequencies 10000^(−i/(dim/2)). Ho et al. 2020 divide by dim/2 − 1 instead.
///
/// ```
/// use inkdrop_nn::positional_embedding;
/// use inkdrop_torch::tch::Tensor;
///
/// let e = positional_embedding(&Tensor::from_slice(&[0i64, 500]), 128, 1.0)?;
/// assert_eq!(e.size(), [2, 128]);
/// assert_eq!(e.double_value(&[0, 0]), 0.0); // sin 0
/// assert_eq!(e.double_value(&[0, 64]), 1.0); // cos 0
/// # Ok::<(), inkdrop_torch::TorchError>(())
/// ```
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
/// ```
/// use inkdrop_nn::timestep_embedding;
/// use inkdrop_torch::tch::Tensor;
///
/// let e = timestep_embedding(&Tensor::from_slice(&[0.0f32, 12.5]), 33, 10_000.0)?;
/// assert_eq!(e.size(), [2, 33]);
/// assert_eq!(e.double_value(&[0, 0]), 1.0); // cos 0
/// assert_eq!(e.double_value(&[1, 32]), 0.0); // the column of an odd width
/// # Ok::<(), inkdrop_torch::TorchError>(())
/// ```
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

/// The sinusoidal embedding in diffusers' form.
///
/// ```
/// use inkdrop_nn::diffusers_embedding;
/// use inkdrop_torch::tch::Tensor;
///
/// // As google/ddpm-cifar10-32 has it: flip_sin_to_cos false, freq_shift 1.
/// let e = diffusers_embedding(&Tensor::from_slice(&[999i64]), 128, false, 1.0)?;
/// assert_eq!(e.size(), [1, 128]);
/// # Ok::<(), inkdrop_torch::TorchError>(())
/// ```
///
/// # Shapes
/// - t: `[B]`, any real numbers
/// - cosine_first: cosines before sines (`flip_sin_to_cos`)
/// - shift: the frequencies fall to 10000^(−(half−1)/(half−shift)) (`freq_shift`)
/// - returns [B, dim] in f32; an odd dim gets one column of zeros on the right
///
/// # Errors
/// libtorch cannot allocate it.
pub fn diffusers_embedding(t: &Tensor, dim: i64, cosine_first: bool, shift: f64) -> Result<Tensor> {
    let half = dim / 2;
    let exponents =
        ramp(half, t)?.f_mul_scalar(-(10000f64.ln()))?.f_div_scalar(half as f64 - shift)?;
    let angles = angles(&t.f_to_kind(Kind::Float)?, &exponents)?;
    let (sines, cosines) = (angles.f_sin()?, angles.f_cos()?);
    let parts = if cosine_first { [cosines, sines] } else { [sines, cosines] };
    let embedding = Tensor::f_cat(&parts, -1)?;
    Ok(if dim % 2 == 1 { embedding.f_constant_pad_nd([0, 1])? } else { embedding })
}

/// The sinusoidal embedding in lucidrains' form: sines, then cosines, with frequencies down to 1/θ
/// (Ho et al. 2020, whose θ is 10000).
///
/// ```
/// use inkdrop_nn::lucid_embedding;
/// use inkdrop_torch::tch::Tensor;
///
/// let e = lucid_embedding(&Tensor::from_slice(&[0i64, 999]), 64, 10_000.0)?;
/// assert_eq!(e.size(), [2, 64]);
/// assert_eq!(e.double_value(&[0, 32]), 1.0); // cos 0
/// # Ok::<(), inkdrop_torch::TorchError>(())
/// ```
///
/// # Shapes
/// - t: `[B]`, any real numbers
/// - dim: even, at least 4
/// - returns [B, dim] in f32: sin(t·f_i) for i < dim/2, then cos(t·f_i), f_i = θ^(−i/(dim/2 − 1))
///
/// # Errors
/// libtorch cannot allocate it.
pub fn lucid_embedding(t: &Tensor, dim: i64, theta: f64) -> Result<Tensor> {
    let half = dim / 2;
    let exponents = ramp(half, t)?.f_mul_scalar(-(theta.ln() / (half - 1) as f64))?;
    let angles = angles(&t.f_to_kind(Kind::Float)?, &exponents)?;
    Ok(Tensor::f_cat(&[angles.f_sin()?, angles.f_cos()?], -1)?)
}

/// Fourier features of t itself with learned or random frequencies: t, sines, cosines (lucidrains; the
/// random form is that of Song et al. 2021).
///
/// # Shapes
/// - t: `[B]`, any real numbers
/// - frequencies: `[K]`, in turns for each unit of t
/// - returns [B, 1 + 2·K] in the dtype of the frequencies
///
/// # Errors
/// libtorch cannot allocate it.
pub fn fourier_embedding(t: &Tensor, frequencies: &Tensor) -> Result<Tensor> {
    let t = t.f_to_kind(frequencies.kind())?.f_unsqueeze(-1)?;
    // Factor by factor, in the original's order: at t = 1000 the rounding shows.
    let turns = t.f_mul(&frequencies.f_unsqueeze(0)?)?;
    let angles = turns.f_mul_scalar(2.0)?.f_mul_scalar(std::f64::consts::PI)?;
    Ok(Tensor::f_cat(&[&t, &angles.f_sin()?, &angles.f_cos()?], -1)?)
}

/// Fixed sinusoidal embedding of the positions of a square grid: sines and cosines of the column, then of the row
/// (Vaswani et al. 2017 along each axis; Peebles & Xie 2023).
///
/// ```
/// use inkdrop_nn::position_embedding_2d;
///
/// let e = position_embedding_2d(64, 4)?;
/// assert_eq!(e.size(), [16, 64]);
/// assert_eq!(e.double_value(&[4, 0]), 0.0); // sin 0: the second row begins in column 0
/// assert_eq!(e.double_value(&[4, 32]), 1f64.sin() as f32 as f64); // sin 1 of its row
/// # Ok::<(), inkdrop_torch::TorchError>(())
/// ```
///
/// # Shapes
/// - dim: a multiple of 4
/// - returns [side·side, dim] in f32; each axis has sin(n·f_i), then cos(n·f_i), f_i = 10000^(−i/(dim/4))
///
/// # Errors
/// libtorch cannot allocate it.
pub fn position_embedding_2d(dim: i64, side: i64) -> Result<Tensor> {
    let quarter = dim / 4;
    let double = (Kind::Double, Device::Cpu);
    let exponents = Tensor::f_arange(quarter, double)?.f_div_scalar(quarter as f64)?;
    let frequencies = exponents.f_mul_scalar(-(10000f64.ln()))?.f_exp()?;
    let angles = Tensor::f_arange(side, double)?.f_outer(&frequencies)?;
    let axis = Tensor::f_cat(&[angles.f_sin()?, angles.f_cos()?], 1)?; // [side, dim/2]
    let shape = [side, side, 2 * quarter];
    let (columns, rows) = (axis.f_unsqueeze(0)?.f_expand(shape, false)?, axis.f_unsqueeze(1)?);
    let both = Tensor::f_cat(&[columns, rows.f_expand(shape, false)?], 2)?;
    Ok(both.f_reshape([side * side, dim])?.f_to_kind(Kind::Float)?)
}

/// t·exp(exponents), [B, half].
///
/// The exponents are f32 as in the published code, but exp is taken in f64: libtorch's
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
///
/// ```
/// use inkdrop_nn::{EmbedFc, Params};
/// use inkdrop_torch::tch::{Device, Kind, Tensor};
///
/// let mut params = Params::new(Kind::Float, Device::Cpu);
/// let embed = EmbedFc::new(&mut params.root().sub("contextembed1"), 5, 128)?;
/// let contexts = Tensor::from_slice(&[1.0f32, 0.0, 0.6, 0.0, 0.0]).view([1, 5]);
/// assert_eq!(embed.forward(&contexts)?.size(), [1, 128, 1, 1]);
/// # Ok::<(), inkdrop_torch::TorchError>(())
/// ```
#[derive(Debug, Clone)]
pub struct EmbedFc(Mlp);

impl EmbedFc {
    /// An embedding of `inputs` numbers into `outputs` features.
    ///
    /// # Errors
    /// libtorch cannot allocate it.
    pub fn new(scope: &mut Scope, inputs: i64, outputs: i64) -> Result<Self> {
        let widths = [inputs, outputs, outputs];
        Ok(Self(Mlp::new(&mut scope.sub("model"), [0, 2], widths, Activation::Gelu)?))
    }

    /// The same with zeros in the second layer, so that it changes nothing at first.
    ///
    /// # Errors
    /// libtorch cannot allocate it.
    pub fn new_zero(scope: &mut Scope, inputs: i64, outputs: i64) -> Result<Self> {
        let widths = [inputs, outputs, outputs];
        Ok(Self(Mlp::new_zero(&mut scope.sub("model"), [0, 2], widths, Activation::Gelu)?))
    }

    /// The same layers without gradients.
    ///
    /// # Errors
    /// libtorch is out of memory.
    pub fn detached(&self) -> Result<Self> {
        Ok(Self(self.0.detached()?))
    }

    /// # Shapes
    /// - x: [B, inputs]
    /// - returns [B, outputs, 1, 1], ready to scale or shift feature maps
    ///
    /// # Errors
    /// x has another width.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        Ok(self.0.forward(x)?.f_unsqueeze(-1)?.f_unsqueeze(-1)?)
    }
}
