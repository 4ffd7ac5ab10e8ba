//! Convolutions in one, two and three dimensions, and the transposed one.

use inkdrop_torch::tch::{Kind, Tensor, no_grad_guard};
use inkdrop_torch::{Result, winograd_conv};

use crate::compiled::{Convolution, TransposedConvolution};
use crate::{CompiledConv, CompiledConvTranspose2d, Init, Scope, Weight, compiled_activations};

/// Channels and geometry of a convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConvConfig {
    /// Number of axes of the kernel: 1, 2 or 3.
    pub dims: usize,
    /// Channels in.
    pub inputs: i64,
    /// Channels out.
    pub outputs: i64,
    /// Side of the kernel, the same in every axis.
    pub kernel: i64,
    /// Strides in depth, height and width; only the last `dims` are used.
    pub strides: [i64; 3],
    /// Zero padding at both ends of every axis.
    pub padding: i64,
    /// False for a convolution without bias, which has no key `bias`.
    pub bias: bool,
}

impl ConvConfig {
    /// Two axes, stride 1 and an odd kernel padded so that height and width stay.
    pub fn same(inputs: i64, outputs: i64, kernel: i64) -> Self {
        Self { dims: 2, inputs, outputs, kernel, strides: [1; 3], padding: kernel / 2, bias: true }
    }

    /// Two axes and a kernel as wide as its stride, without padding: height and width divide or multiply.
    pub fn patches(inputs: i64, outputs: i64, kernel: i64) -> Self {
        Self { dims: 2, inputs, outputs, kernel, strides: [kernel; 3], padding: 0, bias: true }
    }

    /// A 3-wide kernel that halves height and width; a third axis before them stays.
    pub fn halving(dims: usize, channels: i64) -> Self {
        Self { dims, strides: [1, 2, 2], ..Self::same(channels, channels, 3) }
    }

    /// The same convolution over another number of axes.
    pub fn over(self, dims: usize) -> Self {
        Self { dims, ..self }
    }

    /// The same convolution without bias.
    pub fn without_bias(self) -> Self {
        Self { bias: false, ..self }
    }

    /// Number of multiplications for one output value, without the bias.
    pub fn fan_in(&self) -> i64 {
        self.inputs * self.kernel.pow(self.dims as u32)
    }

    fn shape(&self, first: i64, second: i64) -> Vec<i64> {
        let mut shape = vec![first, second];
        shape.resize(2 + self.dims, self.kernel);
        shape
    }

    /// The strides of the axes in use.
    pub fn stride(&self) -> &[i64] {
        &self.strides[3 - self.dims..]
    }
}

/// A convolution over one, two or three axes, keys `weight` and, where it has one, `bias`.
///
/// ```
/// use inkdrop_nn::{Conv, ConvConfig, Params};
/// use inkdrop_torch::tch::{Device, Kind, Tensor};
///
/// let mut params = Params::new(Kind::Float, Device::Cpu);
/// let halve = Conv::new(&mut params.root(), ConvConfig::halving(3, 8))?;
/// let x = Tensor::randn([1, 8, 5, 16, 16], (Kind::Float, Device::Cpu));
/// assert_eq!(halve.forward(&x)?.size(), [1, 8, 5, 8, 8]);
/// # Ok::<(), inkdrop_torch::TorchError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Conv {
    weight: Weight,
    bias: Weight,
    config: ConvConfig,
}

impl Conv {
    /// A layer with PyTorch's default initialisation.
    ///
    /// # Errors
    /// libtorch cannot allocate it.
    pub fn new(scope: &mut Scope, config: ConvConfig) -> Result<Self> {
        let init = Init::FanIn(config.fan_in());
        let shape = config.shape(config.outputs, config.inputs);
        let weight = scope.torso_weight("weight", &shape, init)?;
        let bias = match config.bias {
            true => scope.torso_weight("bias", &[config.outputs], init)?,
            false => scope.unnamed_zeros(&[config.outputs])?,
        };
        Ok(Self { weight, bias, config })
    }

    /// A layer whose weight and bias are 0, so that a residual block starts as the identity. The
    /// generator advances as for [`Conv::new`], as in PyTorch.
    ///
    /// ```
    /// use inkdrop_nn::{Conv, ConvConfig, Params};
    /// use inkdrop_torch::tch::{Device, Kind, Tensor};
    ///
    /// let mut params = Params::new(Kind::Float, Device::Cpu);
    /// let conv = Conv::new_zero(&mut params.root(), ConvConfig::same(3, 3, 3))?;
    /// let x = Tensor::randn([1, 3, 8, 8], (Kind::Float, Device::Cpu));
    /// assert_eq!(conv.forward(&x)?, x.zeros_like());
    /// # Ok::<(), inkdrop_torch::TorchError>(())
    /// ```
    ///
    /// # Errors
    /// libtorch cannot allocate it.
    pub fn new_zero(scope: &mut Scope, config: ConvConfig) -> Result<Self> {
        let conv = Self::new(scope, config)?;
        if scope.initializes() {
            let _guard = no_grad_guard();
            let _ = conv.weight.shallow_clone().f_zero_()?;
            let _ = conv.bias.shallow_clone().f_zero_()?;
        }
        Ok(conv)
    }

    /// The layer of these tensors, without gradients.
    ///
    /// - weight: [outputs, inputs, ...]; bias: `[outputs]`
    pub(crate) fn detached(config: ConvConfig, weight: &Tensor, bias: &Tensor) -> Result<Self> {
        let (weight, bias) = (Weight::new(weight.f_detach()?), Weight::new(bias.f_detach()?));
        Ok(Self { weight, bias, config })
    }

    /// Compiles the layer for inference: no gradients, and packed weights where that is supported
    /// ([`CompileOptions::pack`](crate::CompileOptions::pack)).
    ///
    /// # Errors
    /// libtorch is out of memory.
    pub fn compile(&self, pack: bool) -> Result<CompiledConv> {
        CompiledConv::new(self.config, &self.weight, &self.bias, pack)
    }

    /// Compiles a convolution with a 1×1 kernel as one over two axes, whatever axes it has.
    pub(crate) fn as_pointwise(&self, pack: bool) -> Result<CompiledConv> {
        let ConvConfig { inputs, outputs, .. } = self.config;
        let weight = self.weight.f_detach()?.f_reshape([outputs, inputs, 1, 1])?;
        CompiledConv::new(ConvConfig::same(inputs, outputs, 1), &weight, &self.bias, pack)
    }

    /// Compiles the layer with its outputs multiplied by `scale` and moved by `shift`, both
    /// `[outputs]` in f64: a folded BatchNorm.
    pub(crate) fn scaled(
        &self,
        scale: &Tensor,
        shift: &Tensor,
        pack: bool,
    ) -> Result<CompiledConv> {
        let _guard = no_grad_guard();
        let (kind, mut rows) = (self.weight.kind(), vec![1; self.weight.dim()]);
        rows[0] = -1;
        let weight = self.weight.f_to_kind(Kind::Double)?.f_mul(&scale.f_view(&rows[..])?)?;
        let bias = self.bias.f_to_kind(Kind::Double)?.f_mul(scale)?.f_add(shift)?;
        CompiledConv::new(self.config, &weight.f_to_kind(kind)?, &bias.f_to_kind(kind)?, pack)
    }

    /// A 1×1 convolution of positions in one axis, [B, T, inputs] → [B, T, outputs].
    pub(crate) fn pointwise(&self, x: &Tensor) -> Result<Tensor> {
        let matrix = self.weight.f_view([self.config.outputs, self.config.inputs])?;
        Ok(x.f_linear(&matrix, Some(&*self.bias))?)
    }

    /// # Shapes
    /// - x: [B, inputs, ...] with `dims` further axes
    /// - returns [B, outputs, ...], each axis (n + 2·padding − kernel)/stride + 1
    ///
    /// # Errors
    /// x has other channels, or is smaller than the kernel.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        if let Some(y) = self.winograd(x, None)? {
            return Ok(y);
        }
        let ConvConfig { dims, padding, .. } = self.config;
        let (padding, ones, zeros) = (vec![padding; dims], vec![1; dims], vec![0; dims]);
        let (bias, stride) = (Some(&*self.bias), self.config.stride());
        Ok(x.f_convolution(&self.weight, bias, stride, padding, ones, false, zeros, 1)?)
    }

    /// Adds the convolution of x to `other`.
    ///
    /// # Errors
    /// As [`Conv::forward`]; `other` has another shape than the result.
    pub fn forward_add(&self, x: &Tensor, other: &Tensor) -> Result<Tensor> {
        match self.winograd(x, Some(other))? {
            Some(y) => Ok(y),
            None => Ok(other.f_add(&self.forward(x)?)?),
        }
    }

    /// Winograd's algorithm, where it is the best one.
    fn winograd(&self, x: &Tensor, other: Option<&Tensor>) -> Result<Option<Tensor>> {
        let ConvConfig { dims, kernel, strides, padding, .. } = self.config;
        if (dims, kernel, strides, padding) != (2, 3, [1; 3], 1) {
            return Ok(None);
        }
        winograd_conv(x, &self.weight, &self.bias, other)
    }
}

impl Convolution for Conv {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.forward(x)
    }

    fn forward_add(&self, x: &Tensor, other: &Tensor) -> Result<Tensor> {
        self.forward_add(x, other)
    }
}

/// A transposed 2-D convolution, keys `weight` and `bias`.
///
/// ```
/// use inkdrop_nn::{ConvConfig, ConvTranspose2d, Params};
/// use inkdrop_torch::tch::{Device, Kind, Tensor};
///
/// let mut params = Params::new(Kind::Float, Device::Cpu);
/// let up = ConvTranspose2d::new(&mut params.root(), ConvConfig::patches(8, 4, 2))?;
/// let x = Tensor::randn([1, 8, 5, 5], (Kind::Float, Device::Cpu));
/// assert_eq!(up.forward(&x)?.size(), [1, 4, 10, 10]);
/// # Ok::<(), inkdrop_torch::TorchError>(())
/// ```
#[derive(Debug, Clone)]
pub struct ConvTranspose2d {
    weight: Weight,
    bias: Weight,
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
        let weight = scope.torso_weight("weight", &[inputs, outputs, kernel, kernel], init)?;
        let bias = scope.torso_weight("bias", &[outputs], init)?;
        Ok(Self { weight, bias, config })
    }

    /// Compiles the layer for inference: no gradients, and packed weights where that is supported.
    ///
    /// # Errors
    /// libtorch is out of memory.
    pub fn compile(&self, pack: bool) -> Result<CompiledConvTranspose2d> {
        let kind = compiled_activations(self.weight.kind(), self.weight.device(), pack)?;
        let detached = |tensor: &Tensor| -> Result<Weight> {
            Ok(Weight::new(tensor.f_detach()?.f_to_kind(kind)?))
        };
        let ConvConfig { kernel, strides, padding, .. } = self.config;
        // Patches that do not overlap are a 1×1 convolution, which oneDNN can pack.
        if pack && strides == [kernel; 3] && padding == 0 {
            let (weight, bias) = (self.weight.f_detach()?, self.bias.f_detach()?);
            return CompiledConvTranspose2d::patches(self.config, &weight, &bias);
        }
        let (weight, bias) = (detached(&self.weight)?, detached(&self.bias)?);
        Ok(CompiledConvTranspose2d::Plain(Self { weight, bias, config: self.config }))
    }

    /// # Shapes
    /// - x: [B, inputs, H, W]
    /// - returns [B, outputs, H', W'], H' = (H − 1)·stride − 2·padding + kernel
    ///
    /// # Errors
    /// x has other channels.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (padding, stride) = ([self.config.padding; 2], &self.config.strides[1..]);
        let bias = Some(&*self.bias);
        Ok(x.f_conv_transpose2d(&self.weight, bias, stride, padding, [0, 0], 1, [1, 1])?)
    }
}

impl TransposedConvolution for ConvTranspose2d {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.forward(x)
    }
}
