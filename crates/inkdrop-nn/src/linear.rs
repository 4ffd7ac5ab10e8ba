//! The fully connected layer.

use inkdrop_torch::Result;
use inkdrop_torch::tch::Tensor;

use crate::{Init, Scope};

/// y = x·Wᵀ + b, keys `weight` and `bias`.
#[derive(Debug)]
pub struct Linear {
    weight: Tensor,
    bias: Tensor,
}

impl Linear {
    /// A layer from `inputs` to `outputs` features, with PyTorch's default initialisation.
    ///
    /// # Errors
    /// libtorch cannot allocate it.
    pub fn new(scope: &mut Scope, inputs: i64, outputs: i64) -> Result<Self> {
        let init = Init::FanIn(inputs);
        Ok(Self {
            weight: scope.weight("weight", &[outputs, inputs], init)?,
            bias: scope.weight("bias", &[outputs], init)?,
        })
    }

    /// # Shapes
    /// - x: [..., inputs]
    /// - returns [..., outputs]
    ///
    /// # Errors
    /// x has another last axis.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        Ok(x.f_linear(&self.weight, Some(&self.bias))?)
    }
}
