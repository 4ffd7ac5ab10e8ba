//! Convolutions, plain and transposed.

use inkdrop_torch::Result;
use inkdrop_torch::tch::Tensor;

use crate::{Init, Scope};

/// Channels and geometry of a 2-D convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConvConfig {
    /// Channels in.
    pub inputs: i64,
    /// Channels out.
    pub outputs: i64,
    /// Side of the square kernel.
    pub kernel: i64,
    /// Stride in both axes.
    pub stride: i64,
    /// Zero padding on every side.
    pub padding: i64,
}

impl ConvConfig {
    /// Stride 1 and an odd kernel padded so that height and width stay.
    pub fn same(inputs: i64, outputs: i64, kernel: i64) -> Self {
        Self { inputs, outputs, kernel, stride: 1, padding: kernel / 2 }
    }

    /// A kernel as wide as its stride, without padding: height and width divide or multiply.
    pub fn patches(inputs: i64, outputs: i64, kernel: i64) -> Self {
        Self { inputs, outputs, kernel, stride: kernel, padding: 0 }
    }
}

/// A 2-D convolution, keys `weight` and `bias`.
#[derive(Debug)]
pub struct Conv2d {
    weight: Tensor,
    bias: Tensor,
    config: ConvConfig,
}

impl Conv2d {
    /// A layer with PyTorch's default initialisation.
    ///
    /// # Errors
    /// libtorch cannot allocate it.
    pub fn new(scope: &mut Scope, config: ConvConfig) -> Result<Self> {
        let ConvConfig { inputs, outputs, kernel, .. } = config;
        let init = Init::FanIn(inputs * kernel * kernel);
        Ok(Self {
            weight: scope.weight("weight", &[outputs, inputs, kernel, kernel], init)?,
            bias: scope.weight("bias", &[outputs], init)?,
            config,
        })
    }

    /// # Shapes
    /// - x: [B, inputs, H, W]
    /// - returns [B, outputs, H', W'], H' = (H + 2·padding − kernel)/stride + 1
    ///
    /// # Errors
    /// x has other channels, or is smaller than the kernel.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let ConvConfig { stride, padding, .. } = self.config;
        let (stride, padding) = ([stride, stride], [padding, padding]);
        Ok(x.f_conv2d(&self.weight, Some(&self.bias), stride, padding, [1, 1], 1)?)
    }
}

/// A transposed 2-D convolution, keys `weight` and `bias`.
#[derive(Debug)]
pub struct ConvTranspose2d {
    weight: Tensor,
    bias: Tensor,
    config: ConvConfig,
}

impl ConvTranspose2d {
    /// A layer with PyTorch's default initialisation, whose fan-in is counted
    /// over the *outputs*, as PyTorch does for transposed weights.
    ///
    /// # Errors
    /// libtorch cannot allocate it.
    pub fn new(scope: &mut Scope, config: ConvConfig) -> Result<Self> {
        let ConvConfig { inputs, outputs, kernel, .. } = config;
        let init = Init::FanIn(outputs * kernel * kernel);
        Ok(Self {
            weight: scope.weight("weight", &[inputs, outputs, kernel, kernel], init)?,
            bias: scope.weight("bias", &[outputs], init)?,
            config,
        })
    }

    /// # Shapes
    /// - x: [B, inputs, H, W]
    /// - returns [B, outputs, H', W'], H' = (H − 1)·stride − 2·padding + kernel
    ///
    /// # Errors
    /// x has other channels.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let ConvConfig { stride, padding, .. } = self.config;
        let (stride, padding) = ([stride, stride], [padding, padding]);
        let (weight, bias) = (&self.weight, Some(&self.bias));
        Ok(x.f_conv_transpose2d(weight, bias, stride, padding, [0, 0], 1, [1, 1])?)
    }
}
