//! Convolutions in one, two and three dimensions, and the transposed one.

use inkdrop_torch::tch::{Kind, Tensor, no_grad_guard};
use inkdrop_torch::{PackedConv, Result, winograd_conv};

use crate::{Activation, Init, Scope, Weight};

/// Channels and geometry of a convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConvConfig {
    /// Axes that it runs over: 1, 2 or 3.
    pub dims: usize,
    /// Channels in.
    pub inputs: i64,
    /// Channels out.
    pub outputs: i64,
    /// Side of the kernel, the same in every axis.
    pub kernel: i64,
    /// Strides in depth, height and width; the last `dims` of them count.
    pub strides: [i64; 3],
    /// Zero padding at both ends of every axis.
    pub padding: i64,
}

impl ConvConfig {
    /// Two axes, stride 1 and an odd kernel padded so that height and width stay.
    pub fn same(inputs: i64, outputs: i64, kernel: i64) -> Self {
        Self { dims: 2, inputs, outputs, kernel, strides: [1; 3], padding: kernel / 2 }
    }

    /// Two axes and a kernel as wide as its stride, without padding: height and width divide or multiply.
    pub fn patches(inputs: i64, outputs: i64, kernel: i64) -> Self {
        Self { dims: 2, inputs, outputs, kernel, strides: [kernel; 3], padding: 0 }
    }

    /// A 3-wide kernel that halves height and width; a third axis before them stays.
    pub fn halving(dims: usize, channels: i64) -> Self {
        Self { dims, strides: [1, 2, 2], ..Self::same(channels, channels, 3) }
    }

    /// The same over another number of axes.
    pub fn over(self, dims: usize) -> Self {
        Self { dims, ..self }
    }

    /// How many products one output number takes, without the bias.
    pub fn fan_in(&self) -> i64 {
        self.inputs * self.kernel.pow(self.dims as u32)
    }

    fn shape(&self, first: i64, second: i64) -> Vec<i64> {
        let mut shape = vec![first, second];
        shape.resize(2 + self.dims, self.kernel);
        shape
    }

    /// The strides that count.
    pub fn stride(&self) -> &[i64] {
        &self.strides[3 - self.dims..]
    }
}

/// A convolution over one, two or three axes, keys `weight` and `bias`.
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
    kernel: Kernel,
    config: ConvConfig,
}

/// In which form the numbers of a convolution lie.
#[derive(Debug, Clone)]
enum Kernel {
    Plain { weight: Weight, bias: Weight },
    Packed(PackedConv),
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
        let bias = scope.torso_weight("bias", &[config.outputs], init)?;
        Ok(Self { kernel: Kernel::Plain { weight, bias }, config })
    }

    /// The same layer with all weights 0, so that a block starts as the identity.
    /// The generator has moved on as for a layer that was drawn, as in PyTorch.
    ///
    /// ```
    /// use inkdrop_nn::{Conv, ConvConfig, Params};
    /// use inkdrop_torch::tch::{Device, Kind, Tensor};
    ///
    /// let mut params = Params::new(Kind::Float, Device::Cpu);
    /// let conv = Conv::new(&mut params.root(), ConvConfig::same(3, 3, 3))?.zeroed()?;
    /// let x = Tensor::randn([1, 3, 8, 8], (Kind::Float, Device::Cpu));
    /// assert_eq!(conv.forward(&x)?, x.zeros_like());
    /// # Ok::<(), inkdrop_torch::TorchError>(())
    /// ```
    ///
    /// # Errors
    /// libtorch cannot write them.
    pub fn zeroed(self) -> Result<Self> {
        let _guard = no_grad_guard();
        if let Kernel::Plain { weight, bias } = &self.kernel {
            let _ = weight.shallow_clone().f_zero_()?;
            let _ = bias.shallow_clone().f_zero_()?;
        }
        Ok(self)
    }

    /// The layer of these tensors, for inference: without gradients, and packed where it can be.
    ///
    /// - weight: [outputs, inputs, ...]; bias: `[outputs]`
    ///
    /// # Errors
    /// libtorch cannot copy them.
    pub(crate) fn of(
        config: ConvConfig,
        weight: &Tensor,
        bias: &Tensor,
        pack: bool,
    ) -> Result<Self> {
        let packed = match (pack, config.strides, config.padding) {
            (true, [_, y, x], p) => PackedConv::new(weight, bias, [y, x], [p, p])?,
            _ => None,
        };
        let plain = || -> Result<Kernel> {
            let (weight, bias) = (Weight::new(weight.f_detach()?), Weight::new(bias.f_detach()?));
            Ok(Kernel::Plain { weight, bias })
        };
        Ok(Self { kernel: packed.map_or_else(plain, |packed| Ok(Kernel::Packed(packed)))?, config })
    }

    /// The same layer for inference: without gradients, and packed where it can be
    /// ([`Inference::pack`](crate::Inference::pack)).
    ///
    /// # Errors
    /// libtorch is out of memory.
    pub fn for_inference(&self, pack: bool) -> Result<Self> {
        match &self.kernel {
            Kernel::Plain { weight, bias } => Self::of(self.config, weight, bias, pack),
            Kernel::Packed(_) => Ok(self.clone()),
        }
    }

    /// A 1-wide convolution as one over two axes, whatever it runs over, for inference.
    pub(crate) fn as_pointwise(&self, pack: bool) -> Result<Self> {
        let Kernel::Plain { weight, bias } = &self.kernel else { return Ok(self.clone()) };
        let ConvConfig { inputs, outputs, .. } = self.config;
        let weight = weight.f_detach()?.f_reshape([outputs, inputs, 1, 1])?;
        Self::of(ConvConfig::same(inputs, outputs, 1), &weight, bias, pack)
    }

    /// The layer with outputs that are multiplied with `scale` and moved by `shift`, both
    /// `[outputs]` in f64, for inference.
    pub(crate) fn scaled(&self, scale: &Tensor, shift: &Tensor, pack: bool) -> Result<Self> {
        let Kernel::Plain { weight, bias } = &self.kernel else { return Ok(self.clone()) };
        let _guard = no_grad_guard();
        let (kind, mut rows) = (weight.kind(), vec![1; weight.dim()]);
        rows[0] = -1;
        let scaled = weight.f_to_kind(Kind::Double)?.f_mul(&scale.f_view(&rows[..])?)?;
        let moved = bias.f_to_kind(Kind::Double)?.f_mul(scale)?.f_add(shift)?;
        Self::of(self.config, &scaled.f_to_kind(kind)?, &moved.f_to_kind(kind)?, pack)
    }

    /// Axes that it runs over.
    pub fn dims(&self) -> usize {
        self.config.dims
    }

    /// # Shapes
    /// - x: [B, inputs, ...] with `dims` further axes
    /// - returns [B, outputs, ...], each axis (n + 2·padding − kernel)/stride + 1
    ///
    /// # Errors
    /// x has other channels, or is smaller than the kernel.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.forward_with_post_op(x, None)
    }

    /// The same, and an activation in the same go where that can be.
    ///
    /// # Errors
    /// As [`Conv::forward`].
    pub fn forward_with_post_op(
        &self,
        x: &Tensor,
        activation: Option<Activation>,
    ) -> Result<Tensor> {
        match &self.kernel {
            Kernel::Packed(packed) => {
                match activation.map_or(Some(Default::default()), Activation::fused) {
                    Some(then) => packed.forward(x, then),
                    None => Activation::maybe(activation, packed.forward(x, Default::default())?),
                }
            }
            Kernel::Plain { weight, bias } => {
                Activation::maybe(activation, self.convolve(x, weight, bias)?)
            }
        }
    }

    /// other + the convolution of x.
    ///
    /// # Errors
    /// As [`Conv::forward`]; `other` has another shape than the result.
    pub fn forward_add(&self, x: &Tensor, other: &Tensor) -> Result<Tensor> {
        match &self.kernel {
            Kernel::Packed(packed) => packed.forward_add(x, other),
            Kernel::Plain { weight, bias } => Ok(other.f_add(&self.convolve(x, weight, bias)?)?),
        }
    }

    fn convolve(&self, x: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Tensor> {
        let ConvConfig { dims, kernel, strides, padding, .. } = self.config;
        if (dims, kernel, strides, padding) == (2, 3, [1; 3], 1)
            && let Some(y) = winograd_conv(x, weight, bias)?
        {
            return Ok(y);
        }
        let (padding, ones, zeros) = (vec![padding; dims], vec![1; dims], vec![0; dims]);
        let stride = self.config.stride();
        Ok(x.f_convolution(weight, Some(bias), stride, padding, ones, false, zeros, 1)?)
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
    form: Transposed,
    config: ConvConfig,
}

#[derive(Debug, Clone)]
enum Transposed {
    Plain {
        weight: Weight,
        bias: Weight,
    },
    /// Without overlap: a 1×1 convolution that gives each place its k×k places, which are then
    /// laid out.
    Places(Box<Conv>),
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
        Ok(Self { form: Transposed::Plain { weight, bias }, config })
    }

    /// The same layer for inference: without gradients, and packed where it can be.
    ///
    /// # Errors
    /// libtorch is out of memory.
    pub fn for_inference(&self, pack: bool) -> Result<Self> {
        let Transposed::Plain { weight, bias } = &self.form else { return Ok(self.clone()) };
        let ConvConfig { inputs, outputs, kernel, strides, padding, .. } = self.config;
        let (weight, bias) = (weight.f_detach()?, bias.f_detach()?);
        let form = if pack && strides == [kernel; 3] && padding == 0 {
            let all = outputs * kernel * kernel;
            // [inputs, outputs, k, k] -> [k, k, outputs, inputs]
            let rows = weight.f_permute([2, 3, 1, 0])?.f_reshape([all, inputs, 1, 1])?;
            let bias = bias.f_repeat([kernel * kernel])?;
            let config = ConvConfig::same(inputs, all, 1);
            Transposed::Places(Box::new(Conv::of(config, &rows, &bias, true)?))
        } else {
            Transposed::Plain { weight: Weight::new(weight), bias: Weight::new(bias) }
        };
        Ok(Self { form, config: self.config })
    }

    /// # Shapes
    /// - x: [B, inputs, H, W]
    /// - returns [B, outputs, H', W'], H' = (H − 1)·stride − 2·padding + kernel
    ///
    /// # Errors
    /// x has other channels.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let ConvConfig { outputs, kernel, .. } = self.config;
        match &self.form {
            Transposed::Plain { weight, bias } => {
                let (padding, stride) = ([self.config.padding; 2], &self.config.strides[1..]);
                let bias = Some(&**bias);
                Ok(x.f_conv_transpose2d(weight, bias, stride, padding, [0, 0], 1, [1, 1])?)
            }
            Transposed::Places(conv) => {
                let y = conv.forward(x)?.f_permute([0, 2, 3, 1])?; // [B, H, W, k·k·outputs]
                let [batch, height, width, _] = y.size()[..] else { return Ok(y) };
                let y = y.f_reshape([batch, height, width, kernel, kernel, outputs])?;
                let y = y.f_permute([0, 1, 3, 2, 4, 5])?;
                let y = y.f_reshape([batch, height * kernel, width * kernel, outputs])?;
                Ok(y.f_permute([0, 3, 1, 2])?)
            }
        }
    }
}
