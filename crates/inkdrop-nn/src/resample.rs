//! Downsampling and upsampling by 2, with and without a convolution.

use inkdrop_torch::Result;
use inkdrop_torch::tch::Tensor;

use crate::compiled::{Compiled, Convolution, Form, Trained};
use crate::{Conv, ConvConfig, Scope};

/// Average pooling over 2×2 pixels: halves height and width, rounding down. Depth stays.
///
/// # Shapes
/// - x: [B, C, W], [B, C, H, W] or [B, C, D, H, W]
/// - returns the same with H/2 and W/2
///
/// # Errors
/// x has another number of axes.
pub fn halve(x: &Tensor) -> Result<Tensor> {
    Ok(match x.dim() {
        3 => x.f_avg_pool1d([2], [2], [0], false, true)?,
        5 => x.f_avg_pool3d([1, 2, 2], [1, 2, 2], [0, 0, 0], false, true, None)?,
        _ => x.f_avg_pool2d([2, 2], [2, 2], [0, 0], false, true, None)?,
    })
}

/// Nearest-neighbour upsampling: doubles height and width. Depth stays.
///
/// # Shapes
/// - x: [B, C, W], [B, C, H, W] or [B, C, D, H, W]
/// - returns the same with 2H and 2W
///
/// # Errors
/// x has another number of axes.
pub fn double(x: &Tensor) -> Result<Tensor> {
    Ok(match x.size()[..] {
        [_, _, w] => x.f_upsample_nearest1d([2 * w], None)?,
        [_, _, d, h, w] => x.f_upsample_nearest3d([d, 2 * h, 2 * w], None, None, None)?,
        _ => {
            let [.., h, w] = x.size()[..] else { return Ok(x.shallow_clone()) };
            x.f_upsample_nearest2d([2 * h, 2 * w], None, None)?
        }
    })
}

/// Configuration of a downsampling or upsampling layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResampleConfig {
    /// Number of axes of the image: 1, 2 or 3.
    pub dims: usize,
    /// Channels in and out.
    pub channels: i64,
    /// Adds a learned 3-wide convolution. Without it, downsampling is average pooling.
    pub learned: bool,
    /// Downsampling pads one row and column at the far end only, as diffusers does with
    /// `downsample_padding` 0. If false, it pads both ends.
    pub far_padding: bool,
}

impl ResampleConfig {
    /// Two axes and a learned convolution, padded at both ends.
    pub fn learned(channels: i64) -> Self {
        Self { dims: 2, channels, learned: true, far_padding: false }
    }

    /// The convolution of a downsampling layer.
    pub fn halving(&self) -> ConvConfig {
        let padding = i64::from(!self.far_padding);
        ConvConfig { padding, ..ConvConfig::halving(self.dims, self.channels) }
    }

    /// The convolution after upsampling.
    pub fn smoothing(&self) -> ConvConfig {
        ConvConfig::same(self.channels, self.channels, 3).over(self.dims)
    }
}

/// Downsampling: a convolution with stride 2, or average pooling over 2×2 pixels.
///
/// ```
/// use inkdrop_nn::{Downsample, Params, ResampleConfig};
/// use inkdrop_torch::tch::{Device, Kind, Tensor};
///
/// let mut params = Params::new(Kind::Float, Device::Cpu);
/// let down = Downsample::new(&mut params.root(), ResampleConfig::learned(8))?;
/// let x = Tensor::randn([2, 8, 16, 12], (Kind::Float, Device::Cpu));
/// assert_eq!(down.forward(&x)?.size(), [2, 8, 8, 6]);
/// # Ok::<(), inkdrop_torch::TorchError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Downsample<F: Form = Trained> {
    conv: Option<F::Conv>,
    config: ResampleConfig,
}

impl Downsample {
    /// A layer whose convolution, if it has one, has its parameters in `scope`.
    ///
    /// # Errors
    /// libtorch cannot allocate it.
    pub fn new(scope: &mut Scope, config: ResampleConfig) -> Result<Self> {
        let conv = || Conv::new(scope, config.halving());
        Ok(Self { conv: config.learned.then(conv).transpose()?, config })
    }

    /// Compiles the layer for inference.
    pub(crate) fn compile(&self, pack: bool) -> Result<Downsample<Compiled>> {
        let conv = self.conv.as_ref().map(|conv| conv.compile(pack)).transpose()?;
        Ok(Downsample { conv, config: self.config })
    }
}

impl<F: Form> Downsample<F> {
    /// # Shapes
    /// - x: [B, C, ..., H, W], H and W even
    /// - returns [B, C, ..., H/2, W/2]
    ///
    /// # Errors
    /// x has other channels.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        match &self.conv {
            None => halve(x),
            Some(conv) if self.config.far_padding => {
                let far: &[i64] = &[0, 1, 0, 1][..2 * self.config.dims.min(2)];
                conv.forward(&x.f_constant_pad_nd(far)?)
            }
            Some(conv) => conv.forward(x),
        }
    }
}

/// Upsampling: nearest neighbour, followed by a convolution if it is learned.
///
/// ```
/// use inkdrop_nn::{Params, ResampleConfig, Upsample};
/// use inkdrop_torch::tch::{Device, Kind, Tensor};
///
/// let mut params = Params::new(Kind::Float, Device::Cpu);
/// let config = ResampleConfig { dims: 3, ..ResampleConfig::learned(8) };
/// let up = Upsample::new(&mut params.root(), config)?;
/// let x = Tensor::randn([1, 8, 5, 4, 4], (Kind::Float, Device::Cpu));
/// assert_eq!(up.forward(&x)?.size(), [1, 8, 5, 8, 8]);
/// # Ok::<(), inkdrop_torch::TorchError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Upsample<F: Form = Trained> {
    conv: Option<F::Conv>,
}

impl Upsample {
    /// A layer whose convolution, if it has one, has its parameters in `scope`.
    ///
    /// # Errors
    /// libtorch cannot allocate it.
    pub fn new(scope: &mut Scope, config: ResampleConfig) -> Result<Self> {
        let conv = || Conv::new(scope, config.smoothing());
        Ok(Self { conv: config.learned.then(conv).transpose()? })
    }

    /// Compiles the layer for inference.
    pub(crate) fn compile(&self, pack: bool) -> Result<Upsample<Compiled>> {
        let conv = self.conv.as_ref().map(|conv| conv.compile(pack)).transpose()?;
        Ok(Upsample { conv })
    }
}

impl<F: Form> Upsample<F> {
    /// # Shapes
    /// - x: [B, C, ..., H, W]
    /// - returns [B, C, ..., 2H, 2W]
    ///
    /// # Errors
    /// x has other channels.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let x = double(x)?;
        match &self.conv {
            None => Ok(x),
            Some(conv) => conv.forward(&x),
        }
    }
}
