//! Downsampling and upsampling by 2, with and without a convolution.

use inkdrop_torch::Result;
use inkdrop_torch::tch::{Kind, Tensor};
use serde::{Deserialize, Serialize};

use crate::compiled::{Compiled, Convolution, Form, Trained};
use crate::{Conv, ConvConfig, Scope, Weight};

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

/// Resampling of height and width.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resample {
    /// None.
    Keep,
    /// Downsampling: means over 2×2 pixels, or a filter.
    Halve,
    /// Upsampling: nearest neighbour, or a filter.
    Double,
}

/// Taps of a separable filter for resampling by 2 (`resample_filter` of EDM).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FilterTaps {
    /// \[1, 1\]: means over 2×2 pixels, and nearest neighbour.
    Box,
    /// \[1, 3, 3, 1\]: bilinear (Karras et al. 2020, appendix B).
    Bilinear,
}

impl FilterTaps {
    /// The taps of one axis, before they are normalised.
    pub fn taps(self) -> &'static [f64] {
        match self {
            Self::Box => &[1.0, 1.0],
            Self::Bilinear => &[1.0, 3.0, 3.0, 1.0],
        }
    }

    /// The filter of two axes, of sum 1: [1, 1, n, n].
    fn filter(self) -> Result<Tensor> {
        let taps = Tensor::f_from_slice(self.taps())?;
        let filter = taps.f_outer(&taps)?;
        Ok(filter.f_div(&filter.f_sum(Kind::Double)?)?.f_unsqueeze(0)?.f_unsqueeze(0)?)
    }
}

/// Resampling by a filter of each channel, or by means and nearest neighbour; the buffer
/// `resample_filter` holds the filter.
///
/// ```
/// use inkdrop_nn::{FilterTaps, Params, Resample, Resampling};
/// use inkdrop_torch::tch::{Device, Kind, Tensor};
///
/// let mut params = Params::new(Kind::Float, Device::Cpu);
/// let taps = Some(FilterTaps::Bilinear);
/// let down = Resampling::new(&mut params.root(), Resample::Halve, taps)?;
/// let x = Tensor::ones([2, 8, 16, 12], (Kind::Float, Device::Cpu));
/// assert_eq!(down.forward(&x)?.size(), [2, 8, 8, 6]);
/// assert_eq!(params.names().collect::<Vec<_>>(), ["resample_filter"]);
/// # Ok::<(), inkdrop_torch::TorchError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Resampling {
    resample: Resample,
    filter: Option<Weight>,
}

impl Resampling {
    /// - taps: `None` for means and nearest neighbour, without a buffer
    ///
    /// # Errors
    /// libtorch cannot allocate it.
    pub fn new(scope: &mut Scope, resample: Resample, taps: Option<FilterTaps>) -> Result<Self> {
        let taps = taps.filter(|_| resample != Resample::Keep);
        let filter = |taps: FilterTaps| scope.constant("resample_filter", &taps.filter()?);
        Ok(Self { resample, filter: taps.map(filter).transpose()? })
    }

    /// # Shapes
    /// - x: [B, C, ..., H, W]; four axes with a filter
    /// - returns the same with H and W halved, doubled or kept
    ///
    /// # Errors
    /// x has another number of axes.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        match (self.resample, &self.filter) {
            (Resample::Keep, _) => Ok(x.shallow_clone()),
            (Resample::Halve, None) => halve(x),
            (Resample::Double, None) => double(x),
            (Resample::Halve, Some(filter)) => {
                let padding = (filter.size()[3] - 1) / 2;
                self.halve_unpadded(&x.f_constant_pad_nd([padding; 4])?)
            }
            (Resample::Double, Some(filter)) => {
                let (channels, width) = (x.size()[1], filter.size()[3]);
                let (padding, none) = ([(width - 1) / 2; 2], None::<&Tensor>);
                let filter = of_channels(filter, x)?.f_mul_scalar(4.0)?;
                let y =
                    x.f_conv_transpose2d(&filter, none, [2, 2], padding, [0, 0], channels, [1, 1]);
                Ok(y?)
            }
        }
    }

    /// Halves x without padding: its border, as wide as the filter's padding, is lost.
    ///
    /// # Errors
    /// x is smaller than the filter.
    pub fn halve_unpadded(&self, x: &Tensor) -> Result<Tensor> {
        let Some(filter) = &self.filter else { return halve(x) };
        let none = None::<&Tensor>;
        Ok(x.f_conv2d(&of_channels(filter, x)?, none, [2, 2], [0, 0], [1, 1], x.size()[1])?)
    }

    /// Compiles the layer for inference: a box filter becomes means and nearest neighbour.
    ///
    /// # Errors
    /// libtorch fails.
    pub fn compile(&self) -> Result<Self> {
        let filter = match &self.filter {
            Some(filter) => {
                let means = FilterTaps::Box.filter()?.f_to_kind(filter.kind())?;
                let means = means.f_to_device(filter.device())?;
                (filter.size() != means.size() || !filter.f_equal(&means)?).then_some(filter)
            }
            None => None,
        };
        Ok(Self { resample: self.resample, filter: filter.cloned() })
    }
}

/// The filter for each channel of x, [C, 1, n, n].
fn of_channels(filter: &Tensor, x: &Tensor) -> Result<Tensor> {
    Ok(filter.f_to_kind(x.kind())?.f_repeat([x.size()[1], 1, 1, 1])?)
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
