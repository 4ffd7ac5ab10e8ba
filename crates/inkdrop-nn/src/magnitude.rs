//! Magnitude-preserving layers: the expected magnitude of activations and weights stays (Karras et al. 2024).

use std::f64::consts::PI;

use inkdrop_torch::Result;
use inkdrop_torch::tch::{Kind, Tensor, no_grad_guard};

use crate::{CompiledConv, ConvConfig, Init, Params, Scope, Weight};

/// ε, added to the root mean square.
const EPS: f64 = 1e-4;

/// x divided by its root mean square over an axis, plus 1e-4 (Karras et al. 2024, eq. 30). The root mean square
/// is computed in f32, or in f64 for x in f64.
///
/// # Errors
/// x has no such axis.
pub fn pixel_norm(x: &Tensor, axis: i64) -> Result<Tensor> {
    normalize(x, &[axis])
}

fn normalize(x: &Tensor, axes: &[i64]) -> Result<Tensor> {
    let precise = if x.kind() == Kind::Double { Kind::Double } else { Kind::Float };
    let norm = x.f_to_kind(precise)?.f_norm_scalaropt_dim(2, axes, true)?;
    let share = (norm.numel() as f64 / x.numel().max(1) as f64).sqrt();
    let rms = norm.f_mul_scalar(share)?.f_add_scalar(EPS)?;
    Ok(x.f_div(&rms.f_to_kind(x.kind())?)?)
}

/// SiLU divided by 0.596, which keeps the magnitude of a standard normal x (Karras et al. 2024, eq. 81).
///
/// # Errors
/// libtorch is out of memory.
pub fn mp_silu(x: &Tensor) -> Result<Tensor> {
    Ok(x.f_silu()?.f_div_scalar(0.596)?)
}

/// ((1−t)·a + t·b)/√((1−t)² + t²) (Karras et al. 2024, eq. 88).
///
/// # Errors
/// The shapes differ.
pub fn mp_sum(a: &Tensor, b: &Tensor, t: f64) -> Result<Tensor> {
    let norm = (1.0 - t).hypot(t);
    Ok(a.f_mul_scalar((1.0 - t) / norm)?.f_add(&b.f_mul_scalar(t / norm)?)?)
}

/// Concatenation of channels in which `t` is the share of b (Karras et al. 2024, eq. 103).
///
/// # Errors
/// Other axes than the channels differ.
pub fn mp_cat(a: &Tensor, b: &Tensor, t: f64) -> Result<Tensor> {
    let (channels_a, channels_b) = (a.size()[1] as f64, b.size()[1] as f64);
    let factor = (channels_a + channels_b).sqrt() / (1.0 - t).hypot(t);
    let a = a.f_mul_scalar(factor * (1.0 - t) / channels_a.sqrt())?;
    let b = b.f_mul_scalar(factor * t / channels_b.sqrt())?;
    Ok(Tensor::f_cat(&[&a, &b], 1)?)
}

/// Sinusoids √2·cos(f·t + φ) of random frequencies and phases, buffers `freqs` and `phases` (Karras et al. 2024,
/// eq. 75).
///
/// ```
/// use inkdrop_nn::{MpFourier, Params};
/// use inkdrop_torch::tch::{Device, Kind, Tensor};
///
/// let mut params = Params::new(Kind::Float, Device::Cpu);
/// let fourier = MpFourier::new(&mut params.root(), 64)?;
/// assert_eq!(fourier.forward(&Tensor::from_slice(&[-1.0f32, 0.5]))?.size(), [2, 64]);
/// # Ok::<(), inkdrop_torch::TorchError>(())
/// ```
#[derive(Debug, Clone)]
pub struct MpFourier {
    frequencies: Weight,
    phases: Weight,
}

impl MpFourier {
    /// - width: number of sinusoids
    ///
    /// # Errors
    /// libtorch cannot allocate it.
    pub fn new(scope: &mut Scope, width: i64) -> Result<Self> {
        Ok(Self {
            frequencies: scope.drawn("freqs", &[width], Init::Normal, 2.0 * PI)?,
            phases: scope.drawn("phases", &[width], Init::Uniform(PI), 1.0)?,
        })
    }

    /// # Shapes
    /// - t: `[B]`
    /// - returns [B, width]
    ///
    /// # Errors
    /// libtorch is out of memory.
    pub fn forward(&self, t: &Tensor) -> Result<Tensor> {
        let angles = t.f_to_kind(self.frequencies.kind())?.f_outer(&self.frequencies)?;
        Ok(angles.f_add(&self.phases)?.f_cos()?.f_mul_scalar(2f64.sqrt())?)
    }
}

/// Convolution or fully connected layer whose rows have the magnitude 1, key `weight`; without a bias (Karras
/// et al. 2024, eq. 47 and 66).
///
/// Its weight stays in full precision in mixed precision, and is normalised in every pass. In training, a network
/// also calls [`MpConv::force_weight_norm`] first.
///
/// ```
/// use inkdrop_nn::{MpConv, Params};
/// use inkdrop_torch::tch::{Device, Kind, Tensor};
///
/// let mut params = Params::new(Kind::Float, Device::Cpu);
/// let conv = MpConv::new(&mut params.root(), 8, 4, Some(3))?;
/// let x = Tensor::randn([2, 8, 16, 16], (Kind::Float, Device::Cpu));
/// assert_eq!(conv.forward(&x)?.size(), [2, 4, 16, 16]);
/// # Ok::<(), inkdrop_torch::TorchError>(())
/// ```
#[derive(Debug, Clone)]
pub struct MpConv {
    weight: Weight,
    /// Set in the compiled form.
    compiled: Option<CompiledConv>,
}

impl MpConv {
    /// - kernel: side of the kernel, odd; `None` for a fully connected layer
    ///
    /// # Errors
    /// libtorch cannot allocate it.
    pub fn new(scope: &mut Scope, inputs: i64, outputs: i64, kernel: Option<i64>) -> Result<Self> {
        let mut shape = vec![outputs, inputs];
        shape.extend(kernel.into_iter().flat_map(|side| [side; 2]));
        Ok(Self { weight: scope.weight("weight", &shape, Init::Normal)?, compiled: None })
    }

    /// Overwrites weights by their normalised values, as every training pass does first: forced weight normalisation
    /// (Karras et al. 2024, section 2.3).
    ///
    /// - of: selects layers by the name of their weight
    ///
    /// # Errors
    /// libtorch is out of memory.
    pub fn force_weight_norm(params: &Params, of: impl Fn(&str) -> bool) -> Result<()> {
        let _guard = no_grad_guard();
        for param in params.trained() {
            if param.tensor.dim() >= 2 && of(&param.name) {
                let normalized = normalize_rows(&param.tensor)?;
                param.tensor.shallow_clone().f_copy_(&normalized)?;
            }
        }
        Ok(())
    }

    /// The weight of a pass: rows of magnitude 1, divided by √fan_in.
    fn effective(&self) -> Result<Tensor> {
        let fan_in: i64 = self.weight.size()[1..].iter().product();
        Ok(normalize_rows(&self.weight)?.f_div_scalar((fan_in as f64).sqrt())?)
    }

    /// The weight of a fully connected layer of this gain, [outputs, inputs], without gradients.
    ///
    /// # Errors
    /// libtorch is out of memory.
    pub fn matrix(&self, gain: &Tensor) -> Result<Tensor> {
        let _guard = no_grad_guard();
        Ok(self.effective()?.f_mul(gain)?.f_detach()?)
    }

    /// The same layer without gradients.
    ///
    /// # Errors
    /// libtorch is out of memory.
    pub fn detached(&self) -> Result<Self> {
        Ok(Self { weight: Weight::new(self.weight.f_detach()?), compiled: self.compiled.clone() })
    }

    /// Compiles a convolution for inference.
    ///
    /// - gain: multiplies its output
    /// - kind: dtype of its input
    ///
    /// # Errors
    /// libtorch is out of memory.
    pub fn compile(&self, gain: Option<&Tensor>, kind: Kind, pack: bool) -> Result<Self> {
        let _guard = no_grad_guard();
        let weight = self.effective()?;
        let weight = gain.map_or(Ok(weight.shallow_clone()), |gain| weight.f_mul(gain))?;
        let weight = weight.f_to_kind(kind)?;
        let [outputs, inputs, kernel, _] = weight.size()[..] else { return Ok(self.clone()) };
        let bias = Tensor::f_zeros([outputs], (kind, weight.device()))?;
        let config = ConvConfig::same(inputs, outputs, kernel);
        let compiled = Some(CompiledConv::new(config, &weight, &bias, pack)?);
        Ok(Self { weight: Weight::new(weight), compiled })
    }

    /// # Shapes
    /// - x: [B, inputs, H, W], or [B, inputs] for a fully connected layer
    /// - returns the same with `outputs` channels
    ///
    /// # Errors
    /// x has other channels.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        if let Some(conv) = &self.compiled {
            return conv.forward(x);
        }
        apply(x, &self.effective()?)
    }

    /// The output times a trained gain.
    ///
    /// # Errors
    /// As [`MpConv::forward`].
    pub fn forward_with_gain(&self, x: &Tensor, gain: &Tensor) -> Result<Tensor> {
        apply(x, &self.effective()?.f_mul(gain)?)
    }
}

fn apply(x: &Tensor, weight: &Tensor) -> Result<Tensor> {
    let (weight, none) = (weight.f_to_kind(x.kind())?, None::<&Tensor>);
    Ok(match weight.size()[..] {
        [_, _, kernel, _] => x.f_conv2d(&weight, none, [1, 1], [kernel / 2; 2], [1, 1], 1)?,
        _ => x.f_linear(&weight, none)?,
    })
}

fn normalize_rows(weight: &Tensor) -> Result<Tensor> {
    normalize(weight, &(1..weight.dim() as i64).collect::<Vec<_>>())
}
