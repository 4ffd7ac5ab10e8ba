//! A handle to a named tensor.

use std::ops::Deref;

use inkdrop_torch::tch::Tensor;

/// A handle to a named tensor of a network; clones are handles to the same tensor.
#[derive(Debug)]
pub struct Weight(Tensor);

impl Weight {
    pub(crate) fn new(tensor: Tensor) -> Self {
        Self(tensor)
    }
}

impl Clone for Weight {
    fn clone(&self) -> Self {
        Self(self.0.shallow_clone())
    }
}

impl Deref for Weight {
    type Target = Tensor;

    fn deref(&self) -> &Tensor {
        &self.0
    }
}
