//! Normalisation of tokens over their features, modulated by a conditioning (adaptive layer norm).

use inkdrop_torch::Result;
use inkdrop_torch::tch::Tensor;

use crate::norm::in_kind_of;
use crate::{Init, Scope, Weight};

/// Added to the variance or the mean square.
const EPS: f64 = 1e-6;

/// Normalisation of the last axis of [B, ..., D].
///
/// ```
/// use inkdrop_nn::{Params, TokenNorm};
/// use inkdrop_torch::tch::{Device, Kind, Tensor};
///
/// let mut params = Params::new(Kind::Float, Device::Cpu);
/// let x = Tensor::randn([2, 64, 32], (Kind::Float, Device::Cpu)) + 3.0;
/// let (shift, scale) = (Tensor::from(0.5f32), Tensor::from(1.0f32));
/// let mean = TokenNorm::Layer.modulated(&x, &shift, &scale)?.mean(Kind::Float);
/// assert!((mean.double_value(&[]) - 0.5).abs() < 1e-5);
/// let norm = TokenNorm::rms(&mut params.root(), 32)?;
/// let mean_square = norm.forward(&x)?.square().mean(Kind::Float);
/// assert!((mean_square.double_value(&[]) - 1.0).abs() < 1e-5);
/// # Ok::<(), inkdrop_torch::TorchError>(())
/// ```
#[derive(Debug, Clone)]
pub enum TokenNorm {
    /// Layer normalisation without parameters (Ba et al. 2016): (x − mean)/√(variance + 1e-6).
    Layer,
    /// RMS normalisation with a factor for each feature (Zhang & Sennrich 2019, eq. 4): g·x/√(mean of x² + 1e-6).
    Rms(Weight),
}

impl TokenNorm {
    /// RMS normalisation, key `weight`, with factors 1. It is computed in f32 (or f64).
    ///
    /// # Errors
    /// libtorch cannot allocate it.
    pub fn rms(scope: &mut Scope, features: i64) -> Result<Self> {
        Ok(Self::Rms(scope.weight("weight", &[features], Init::Constant(1.0))?))
    }

    /// The same layer without gradients.
    ///
    /// # Errors
    /// libtorch fails.
    pub fn detached(&self) -> Result<Self> {
        Ok(match self {
            Self::Layer => Self::Layer,
            Self::Rms(weight) => Self::Rms(weight.detached()?),
        })
    }

    /// # Shapes
    /// - x: [B, ..., D]; returns the same
    ///
    /// # Errors
    /// x has another last axis.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        match self {
            Self::Layer => {
                let width = x.size().last().copied().unwrap_or(1);
                Ok(x.f_layer_norm([width], None::<&Tensor>, None::<&Tensor>, EPS, false)?)
            }
            Self::Rms(weight) => in_kind_of(weight, x, |x| {
                let mean_square = x.f_square()?.f_mean_dim([-1i64].as_slice(), true, x.kind())?;
                Ok(x.f_mul(&mean_square.f_add_scalar(EPS)?.f_rsqrt()?)?.f_mul(weight)?)
            }),
        }
    }

    /// The normalised x, times 1 + scale, plus shift (Peebles & Xie 2023, section 3.2). It is computed in the dtype of
    /// shift and scale, which is f32 in mixed precision.
    ///
    /// # Shapes
    /// - x: [B, T, D]; returns the same
    /// - shift, scale: broadcast to it, such as [B, 1, D]
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub fn modulated(&self, x: &Tensor, shift: &Tensor, scale: &Tensor) -> Result<Tensor> {
        in_kind_of(shift, x, |x| {
            Ok(self.forward(x)?.f_mul(&scale.f_add_scalar(1.0)?)?.f_add(shift)?)
        })
    }
}
