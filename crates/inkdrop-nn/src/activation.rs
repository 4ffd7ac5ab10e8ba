//! The non-linear functions between layers.

use inkdrop_torch::tch::Tensor;
use inkdrop_torch::{PostOp, Result};
use serde::{Deserialize, Serialize};

/// A non-linear function, entry by entry.
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

    /// What is given, with the activation applied if there is one.
    pub(crate) fn maybe(activation: Option<Self>, x: Tensor) -> Result<Tensor> {
        activation.map_or(Ok(x.shallow_clone()), |activation| activation.apply(&x))
    }

    /// The form in which a layer for inference can apply it in the same go.
    pub(crate) fn fused(self) -> Option<PostOp> {
        match self {
            Self::Relu => Some(PostOp::Relu),
            Self::Silu => Some(PostOp::Silu),
            Self::Gelu => Some(PostOp::Gelu),
            Self::Mish => None,
        }
    }
}
