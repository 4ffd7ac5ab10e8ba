//! RMS normalisation over channels (Zhang & Sennrich 2019).

use inkdrop_torch::tch::Tensor;
use inkdrop_torch::{Result, rms_norm, takes_fused_norm};

use crate::modulation::Modulation;
use crate::norm::in_kind_of;
use crate::{Activation, Init, Scope, Weight};

/// RMS normalisation over the channels of each position: g·√C·x/‖x‖, key `g`, computed in f32 (or f64).
///
/// ```
/// use inkdrop_nn::{Params, RmsNorm};
/// use inkdrop_torch::tch::{Device, Kind, Tensor};
///
/// let mut params = Params::new(Kind::Float, Device::Cpu);
/// let norm = RmsNorm::new(&mut params.root(), 2, 8)?;
/// let x = Tensor::randn([4, 8, 16, 16], (Kind::Float, Device::Cpu));
/// let mean_square = norm.forward(&x)?.square().mean(Kind::Float);
/// assert!((mean_square.double_value(&[]) - 1.0).abs() < 1e-5);
/// # Ok::<(), inkdrop_torch::TorchError>(())
/// ```
#[derive(Debug, Clone)]
pub struct RmsNorm {
    /// [1, C, 1, …].
    g: Weight,
}

/// Lower bound of ‖x‖, as in PyTorch's `normalize`.
const EPS: f64 = 1e-12;

impl RmsNorm {
    /// A layer with factors 1.
    ///
    /// - dims: axes of the images: 1, 2 or 3
    ///
    /// # Errors
    /// libtorch cannot allocate it.
    pub fn new(scope: &mut Scope, dims: usize, channels: i64) -> Result<Self> {
        let mut shape = vec![1, channels];
        shape.resize(2 + dims, 1);
        Ok(Self { g: scope.weight("g", &shape, Init::Constant(1.0))? })
    }

    /// The same layer without gradients.
    pub(crate) fn detached(&self) -> Result<Self> {
        Ok(Self { g: self.g.detached()? })
    }

    /// True if the factors are trained.
    pub(crate) fn is_trained(&self) -> bool {
        self.g.requires_grad()
    }

    /// One kernel for normalisation, modulation and activation; `None` where that is not supported.
    pub(crate) fn fused(
        &self,
        x: &Tensor,
        modulation: &Modulation,
        activation: Option<Activation>,
    ) -> Result<Option<Tensor>> {
        let channels = self.g.numel() as i64;
        let Some(post_op) = Activation::post_op(activation) else { return Ok(None) };
        if x.size().get(1) != Some(&channels) || !takes_fused_norm(x, 1) {
            return Ok(None);
        }
        let scale = self.g.f_reshape([1, -1])?.f_mul_scalar((channels as f64).sqrt())?;
        let (scale, shift) = match modulation {
            Modulation::None => {
                let shift = scale.f_zeros_like()?;
                (scale, shift)
            }
            Modulation::ScaleShift(row) => {
                let factor = row.f_narrow(1, 0, channels)?.f_add_scalar(1.0)?;
                (scale.f_mul(&factor)?, row.f_narrow(1, channels, channels)?)
            }
            Modulation::Bias(_) | Modulation::FusedAffine(_) => return Ok(None),
        };
        rms_norm(x, &scale, &shift, post_op).map(Some)
    }

    /// # Shapes
    /// - x: [B, C, ...]; returns the same
    ///
    /// # Errors
    /// x has other channels or axes.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        in_kind_of(&self.g, x, |x| {
            let norm = x.f_norm_scalaropt_dim(2.0, [1i64].as_slice(), true)?;
            let unit = x.f_div(&norm.f_clamp_min(EPS)?)?;
            Ok(unit.f_mul(&self.g)?.f_mul_scalar((self.g.numel() as f64).sqrt())?)
        })
    }
}
