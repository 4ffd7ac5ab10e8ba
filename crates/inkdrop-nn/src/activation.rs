//! Activation functions.

use inkdrop_torch::tch::Tensor;
use inkdrop_torch::{PostOp, Result};
use serde::{Deserialize, Serialize};

/// An element-wise activation function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Activation {
    /// max(x, 0).
    Relu,
    /// x·σ(x), also called swish (Ramachandran et al. 2017).
    Silu,
    /// x·tanh(softplus(x)) (Misra 2019).
    Mish,
    /// x·Φ(x), exact (Hendrycks & Gimpel 2016).
    Gelu,
}

impl Activation {
    /// # Shapes
    /// - x: any; returns the same
    ///
    /// # Errors
    /// libtorch is out of memory.
    pub fn apply(self, x: &Tensor) -> Result<Tensor> {
        Ok(match self {
            Self::Relu => x.f_relu()?,
            Self::Silu => x.f_silu()?,
            Self::Mish => x.f_mish()?,
            Self::Gelu => x.f_gelu("none")?,
        })
    }

    /// Applies the activation to x, if there is one.
    pub(crate) fn maybe(activation: Option<Self>, x: Tensor) -> Result<Tensor> {
        activation.map_or(Ok(x.shallow_clone()), |activation| activation.apply(&x))
    }

    /// The post-op of a compiled layer that applies the activation; `None` where there is none.
    pub(crate) fn post_op(activation: Option<Self>) -> Option<PostOp> {
        match activation {
            None => Some(PostOp::None),
            Some(Self::Relu) => Some(PostOp::Relu),
            Some(Self::Silu) => Some(PostOp::Silu),
            Some(Self::Gelu) => Some(PostOp::Gelu),
            Some(Self::Mish) => None,
        }
    }
}
