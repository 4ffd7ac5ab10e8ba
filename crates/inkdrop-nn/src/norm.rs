//! Normalisation layers. All compute in f32 (or f64) and return the dtype of their input.

use inkdrop_torch::tch::{Kind, Tensor, no_grad_guard};
use inkdrop_torch::{
    BatchNormOutputs, GroupNormInputs, Result, TorchError, batch_norm, group_norm, in_jvp,
    is_channels_last, takes_fused_norm,
};
use serde::{Deserialize, Serialize};

use crate::compiled::Normalization;
use crate::modulation::Modulation;
use crate::rms_norm::RmsNorm;
use crate::synchronization::{SumOverProcesses, Synchronization};
use crate::{Activation, CompiledNorm, Init, Mode, Scope, Weight};

/// PyTorch's default ε of every normalisation.
const EPS: f64 = 1e-5;

/// Computes in the dtype of the weights, which stay in f32 in mixed precision.
pub(crate) fn in_kind_of(
    weight: &Tensor,
    x: &Tensor,
    norm: impl FnOnce(&Tensor) -> Result<Tensor>,
) -> Result<Tensor> {
    if x.kind() == weight.kind() {
        return norm(x);
    }
    Ok(norm(&x.f_to_kind(weight.kind())?)?.f_to_kind(x.kind())?)
}

/// Scale 1 and shift 0 for each channel, keys `weight` and `bias`.
fn affine(scope: &mut Scope, channels: i64) -> Result<(Weight, Weight)> {
    let weight = scope.weight("weight", &[channels], Init::Constant(1.0))?;
    Ok((weight, scope.weight("bias", &[channels], Init::Constant(0.0))?))
}

/// Batch normalisation over batch and positions with running statistics (Ioffe & Szegedy
/// 2015), keys `weight`, `bias`, `running_mean`, `running_var`, `num_batches_tracked`.
///
/// ```
/// use inkdrop_nn::{BatchNorm, Mode, Params};
/// use inkdrop_torch::tch::{Device, Kind, Tensor};
///
/// let mut params = Params::new(Kind::Float, Device::Cpu);
/// let norm = BatchNorm::new(&mut params.root(), 8)?;
/// let x = Tensor::randn([4, 8, 16, 16], (Kind::Float, Device::Cpu));
/// assert_eq!(norm.forward(&x, Mode::Train)?.size(), x.size());
/// assert_eq!(params.get("num_batches_tracked").map(|p| p.tensor.int64_value(&[])), Some(1));
/// # Ok::<(), inkdrop_torch::TorchError>(())
/// ```
#[derive(Debug, Clone)]
pub struct BatchNorm {
    affine: (Weight, Weight),
    running_mean: Weight,
    running_var: Weight,
    batches: Weight,
    synchronization: Synchronization,
}

impl BatchNorm {
    /// Weight of a batch's statistics in the new running statistics, as in PyTorch.
    pub const MOMENTUM: f64 = 0.1;

    /// A layer for this many channels: scale 1, shift 0, running mean 0 and variance 1.
    ///
    /// # Errors
    /// libtorch cannot allocate it.
    pub fn new(scope: &mut Scope, channels: i64) -> Result<Self> {
        Ok(Self {
            affine: affine(scope, channels)?,
            running_mean: scope.buffer("running_mean", &[channels], 0.0)?,
            running_var: scope.buffer("running_var", &[channels], 1.0)?,
            batches: scope.counter("num_batches_tracked")?,
            synchronization: scope.synchronization(),
        })
    }

    /// The layer in [`Mode::Eval`] as a factor and an offset for each channel, in f64.
    pub(crate) fn eval_affine(&self) -> Result<(Tensor, Tensor)> {
        let _guard = no_grad_guard();
        let double = |weight: &Weight| -> Result<Tensor> { Ok(weight.f_to_kind(Kind::Double)?) };
        let spread = double(&self.running_var)?.f_add_scalar(EPS)?.f_sqrt()?;
        let factor = double(&self.affine.0)?.f_div(&spread)?;
        let term = double(&self.affine.1)?.f_sub(&double(&self.running_mean)?.f_mul(&factor)?)?;
        Ok((factor, term))
    }

    /// # Shapes
    /// - x: [B, C, ...]; returns the same
    ///
    /// # Errors
    /// x has other channels, or in training one value for each.
    pub fn forward(&self, x: &Tensor, mode: Mode) -> Result<Tensor> {
        self.forward_activated(x, mode, None)
    }

    /// The layer and an activation, in one operation where that is supported.
    pub(crate) fn forward_activated(
        &self,
        x: &Tensor,
        mode: Mode,
        activation: Option<Activation>,
    ) -> Result<Tensor> {
        self.begin(x, mode)?;
        if let Some(y) = self.fused(x, mode, activation)? {
            return Ok(y);
        }
        Activation::maybe(activation, self.normalize(x, mode)?)
    }

    /// Checks x and counts the batch.
    fn begin(&self, x: &Tensor, mode: Mode) -> Result<()> {
        let channels = self.affine.0.numel();
        if mode != Mode::Eval && x.numel() == channels {
            // Its variance is 0/0, which would stay in the running statistics.
            let problem = format!(
                "batch normalisation cannot train on one value per channel, given {:?}: expected a larger batch or image",
                x.size()
            );
            return Err(TorchError::message(problem));
        }
        if mode == Mode::Train {
            let _guard = no_grad_guard();
            let _ = self.batches.shallow_clone().f_add_scalar_(1)?;
        }
        Ok(())
    }

    fn normalize(&self, x: &Tensor, mode: Mode) -> Result<Tensor> {
        if let Some(processes) = self.synchronization.get().filter(|_| mode != Mode::Eval) {
            return in_kind_of(&self.affine.0, x, |x| self.synchronized(x, mode, processes));
        }
        let running = (mode != Mode::Recompute).then_some((&self.running_mean, &self.running_var));
        let (mean, variance) = (running.map(|r| &**r.0), running.map(|r| &**r.1));
        let (weight, bias) = (Some(&*self.affine.0), Some(&*self.affine.1));
        let train = mode != Mode::Eval;
        in_kind_of(&self.affine.0, x, |x| {
            let momentum = Self::MOMENTUM;
            Ok(x.f_batch_norm(weight, bias, mean, variance, train, momentum, EPS, true)?)
        })
    }
}

impl BatchNorm {
    /// One kernel for normalisation and activation in training; `None` where that is not supported.
    fn fused(
        &self,
        x: &Tensor,
        mode: Mode,
        activation: Option<Activation>,
    ) -> Result<Option<Tensor>> {
        let (scale, shift) = (&*self.affine.0, &*self.affine.1);
        let Some(post_op) = Activation::post_op(activation) else { return Ok(None) };
        let alone = self.synchronization.get().is_none();
        let trained = mode != Mode::Eval && alone && is_channels_last(x);
        if !(trained && scale.kind() == Kind::Float && takes_fused_norm(x, scale.size()[0])) {
            return Ok(None);
        }
        let BatchNormOutputs { y, mean, spread } = batch_norm(x, scale, shift, EPS, post_op)?;
        if mode == Mode::Train {
            let _guard = no_grad_guard();
            let spread = spread.f_to_kind(Kind::Double)?;
            let variance = spread.f_square()?.f_reciprocal()?.f_sub_scalar(EPS)?;
            let variance = variance.f_clamp_min(0.0)?; // a channel of equal values, but for rounding
            let count = variance.f_full_like((x.numel() / scale.numel()) as f64)?;
            self.record(&mean, &variance, &count)?;
        }
        Ok(Some(y))
    }

    /// Training with the statistics of all processes.
    fn synchronized(
        &self,
        x: &Tensor,
        mode: Mode,
        processes: &dyn SumOverProcesses,
    ) -> Result<Tensor> {
        let axes: Vec<i64> = (0..x.dim() as i64).filter(|&axis| axis != 1).collect();
        let channels = self.affine.0.numel();
        let (variance, mean) = x.f_var_mean_correction(axes.as_slice(), 0, false)?;
        // Moments of a channel are summed in f64, where E[x²] − E[x]² loses nothing.
        let (variance, mean) = (variance.f_to_kind(Kind::Double)?, mean.f_to_kind(Kind::Double)?);
        let count = (x.numel() / channels) as f64;
        let square = variance.f_add(&mean.f_square()?)?;
        let counts = mean.f_full_like(count)?;
        let own = [mean.f_mul_scalar(count)?, square.f_mul_scalar(count)?, counts];
        let sums = processes.sum(&Tensor::f_stack(&own, 0)?)?;
        let [mean, square, count] = [0, 1, 2].map(|row| sums.f_get(row));
        let count = count?.f_detach()?;
        let mean = mean?.f_div(&count)?;
        let variance = square?.f_div(&count)?.f_sub(&mean.f_square()?)?.f_clamp_min(0.0)?;
        if mode == Mode::Train {
            self.record(&mean, &variance, &count)?;
        }
        let scale = variance.f_add_scalar(EPS)?.f_rsqrt()?.f_mul(&self.affine.0)?;
        let shift = self.affine.1.f_sub(&mean.f_mul(&scale)?)?;
        let shape: Vec<i64> = (0..x.dim()).map(|axis| if axis == 1 { -1 } else { 1 }).collect();
        let spread = |value: &Tensor| value.f_to_kind(x.kind())?.f_view(shape.as_slice());
        Ok(spread(&shift)?.f_addcmul(x, &spread(&scale)?)?)
    }

    /// Updates the running statistics; the variance is unbiased there, as in PyTorch.
    fn record(&self, mean: &Tensor, variance: &Tensor, count: &Tensor) -> Result<()> {
        let _guard = no_grad_guard();
        let unbiased = variance.f_mul(count)?.f_div(&count.f_sub_scalar(1.0)?.f_clamp_min(1.0)?)?;
        for (running, new) in [(&self.running_mean, mean), (&self.running_var, &unbiased)] {
            let new = new.f_to_kind(running.kind())?;
            let _ = running.shallow_clone().f_lerp_(&new, Self::MOMENTUM)?;
        }
        Ok(())
    }
}

/// Group normalisation (Wu & He 2018), keys `weight` and `bias`.
///
/// With 32 groups this is improved-diffusion's GroupNorm32: computed in f32 in mixed precision, too.
///
/// ```
/// use inkdrop_nn::{GroupNorm, Params};
/// use inkdrop_torch::tch::{Device, Kind, Tensor};
///
/// let mut params = Params::new(Kind::BFloat16, Device::Cpu);
/// let norm = GroupNorm::new(&mut params.root(), 32, 64)?;
/// let x = Tensor::randn([2, 64, 8, 8], (Kind::BFloat16, Device::Cpu));
/// assert_eq!(norm.forward(&x)?.kind(), Kind::BFloat16);
/// assert_eq!(params.get("weight").map(|param| param.tensor.kind()), Some(Kind::Float));
/// # Ok::<(), inkdrop_torch::TorchError>(())
/// ```
#[derive(Debug, Clone)]
pub struct GroupNorm {
    affine: (Weight, Weight),
    groups: i64,
    eps: f64,
}

impl GroupNorm {
    /// A layer for channels in this many groups: scale 1, shift 0, ε 1e-5. The groups must divide the
    /// channels.
    ///
    /// # Errors
    /// libtorch cannot allocate it.
    pub fn new(scope: &mut Scope, groups: i64, channels: i64) -> Result<Self> {
        Ok(Self { affine: affine(scope, channels)?, groups, eps: EPS })
    }

    /// Compiles the layer for inference.
    ///
    /// - fuse: fuses it with the modulation before it and the activation after it, where supported
    ///
    /// # Errors
    /// libtorch fails.
    pub fn compile(&self, fuse: bool) -> Result<CompiledNorm> {
        Ok(CompiledNorm::new(Norm::Group(self.detached()?), fuse))
    }

    fn detached(&self) -> Result<Self> {
        Ok(Self { affine: detached(&self.affine)?, ..*self })
    }

    /// Scale and shift, `[C]` each.
    pub(crate) fn affine(&self) -> (&Tensor, &Tensor) {
        (&self.affine.0, &self.affine.1)
    }

    /// One kernel for modulation, normalisation and activation; `None` where that is not supported.
    fn fused(
        &self,
        x: &Tensor,
        modulation: &Modulation,
        activation: Option<Activation>,
    ) -> Result<Option<Tensor>> {
        let post_op = Activation::post_op(activation);
        let Some(post_op) = post_op.filter(|_| takes_fused_norm(x, self.groups)) else {
            return Ok(None);
        };
        let (before, scale, shift) = self.fused_rows(modulation)?;
        let (groups, eps) = (self.groups, self.eps);
        let inputs = GroupNormInputs { groups, eps, before, scale: &scale, shift: &shift };
        group_norm(x, inputs, post_op).map(Some)
    }

    /// The bias before the normalisation, and the scale and shift after it: [1, C] or [B, C].
    fn fused_rows<'a>(
        &self,
        modulation: &'a Modulation,
    ) -> Result<(Option<&'a Tensor>, Tensor, Tensor)> {
        let (scale, shift) = (self.affine.0.f_unsqueeze(0)?, self.affine.1.f_unsqueeze(0)?);
        let halves = |row: &Tensor| -> Result<(Tensor, Tensor)> {
            let half = row.size()[1] / 2;
            Ok((row.f_narrow(1, 0, half)?, row.f_narrow(1, half, half)?))
        };
        Ok(match modulation {
            Modulation::None => (None, scale, shift),
            Modulation::Bias(row) => (Some(row), scale, shift),
            Modulation::FusedAffine(row) => {
                let (scale, shift) = halves(row)?;
                (None, scale, shift)
            }
            Modulation::ScaleShift(row) => {
                let (s, b) = halves(row)?;
                let s = s.f_add_scalar(1.0)?;
                (None, scale.f_mul(&s)?, shift.f_mul(&s)?.f_add(&b)?)
            }
        })
    }

    /// # Shapes
    /// - x: [B, C, ...]; returns the same
    ///
    /// # Errors
    /// x has other channels, or the groups do not divide them.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.normalize(x, Some(&*self.affine.0), Some(&*self.affine.1))
    }

    fn normalize(
        &self,
        x: &Tensor,
        scale: Option<&Tensor>,
        shift: Option<&Tensor>,
    ) -> Result<Tensor> {
        in_kind_of(&self.affine.0, x, |x| {
            // libtorch's derivative in forward mode takes PyTorch's default layout only.
            let x = if in_jvp() { x.f_contiguous()? } else { x.shallow_clone() };
            Ok(x.f_group_norm(self.groups, scale, shift, self.eps, true)?)
        })
    }
}

/// Instance normalisation with scale and shift (Ulyanov et al. 2016): each
/// channel of each image by itself, keys `weight` and `bias`.
///
/// ```
/// use inkdrop_nn::{InstanceNorm, Params};
/// use inkdrop_torch::tch::{Device, Kind, Tensor};
///
/// let mut params = Params::new(Kind::Float, Device::Cpu);
/// let norm = InstanceNorm::new(&mut params.root(), 8)?;
/// let x = Tensor::randn([4, 8, 16, 16], (Kind::Float, Device::Cpu));
/// assert_eq!(norm.forward(&x)?.size(), x.size());
/// # Ok::<(), inkdrop_torch::TorchError>(())
/// ```
#[derive(Debug, Clone)]
pub struct InstanceNorm {
    affine: (Weight, Weight),
}

impl InstanceNorm {
    /// A layer for this many channels: scale 1, shift 0.
    ///
    /// # Errors
    /// libtorch cannot allocate it.
    pub fn new(scope: &mut Scope, channels: i64) -> Result<Self> {
        Ok(Self { affine: affine(scope, channels)? })
    }

    /// # Shapes
    /// - x: [B, C, ...]; returns the same
    ///
    /// # Errors
    /// x has other channels.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (weight, bias) = (Some(&*self.affine.0), Some(&*self.affine.1));
        let none: Option<&Tensor> = None;
        in_kind_of(&self.affine.0, x, |x| {
            let momentum = BatchNorm::MOMENTUM;
            Ok(x.f_instance_norm(weight, bias, none, none, true, momentum, EPS, true)?)
        })
    }
}

/// Kind of normalisation.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NormKind {
    /// [`GroupNorm`].
    Group,
    /// [`BatchNorm`].
    Batch,
    /// [`InstanceNorm`].
    Instance,
    /// [`RmsNorm`] of images with this many axes; no option of a config.
    #[serde(skip)]
    Rms {
        /// 1, 2 or 3.
        dims: usize,
    },
    /// No normalisation, no keys.
    None,
}

/// Configuration of a normalisation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NormConfig {
    /// Kind of normalisation.
    pub kind: NormKind,
    /// Number of groups of a group normalisation; divides the channels.
    pub groups: i64,
    /// Fewest channels of a group: narrow layers have fewer groups than `groups`. 1 for a fixed number.
    pub group_width: i64,
    /// ε under the root of a group normalisation.
    pub eps: f64,
}

impl NormConfig {
    /// Group normalisation with ε 1e-5.
    pub fn groups(groups: i64) -> Self {
        Self { kind: NormKind::Group, groups, group_width: 1, eps: EPS }
    }

    /// The number of groups of a layer with this many channels.
    pub fn groups_of(&self, channels: i64) -> i64 {
        match self.group_width {
            ..=1 => self.groups,
            width => self.groups.min(channels / width),
        }
    }

    /// RMS normalisation of images with this many axes.
    pub fn rms(dims: usize) -> Self {
        Self { kind: NormKind::Rms { dims }, ..Self::groups(1) }
    }

    /// No normalisation.
    pub fn none() -> Self {
        Self { kind: NormKind::None, ..Self::groups(1) }
    }
}

/// Any of the normalisations, or none.
///
/// ```
/// use inkdrop_nn::{Mode, Norm, NormConfig, NormKind, Params};
/// use inkdrop_torch::tch::{Device, Kind, Tensor};
///
/// let mut params = Params::new(Kind::Float, Device::Cpu);
/// let config = NormConfig { kind: NormKind::Instance, ..NormConfig::groups(4) };
/// let norm = Norm::new(&mut params.root(), config, 8)?;
/// let x = Tensor::randn([4, 8, 16, 16], (Kind::Float, Device::Cpu));
/// assert_eq!(norm.forward(&x, Mode::Eval)?.size(), x.size());
/// # Ok::<(), inkdrop_torch::TorchError>(())
/// ```
#[derive(Debug, Clone)]
pub enum Norm {
    /// [`GroupNorm`].
    Group(GroupNorm),
    /// [`BatchNorm`].
    Batch(BatchNorm),
    /// [`InstanceNorm`].
    Instance(InstanceNorm),
    /// [`RmsNorm`].
    Rms(RmsNorm),
    /// The identity.
    None,
}

impl Norm {
    /// The layer of a config.
    ///
    /// # Errors
    /// libtorch cannot allocate it.
    pub fn new(scope: &mut Scope, config: NormConfig, channels: i64) -> Result<Self> {
        Ok(match config.kind {
            NormKind::Group => {
                let norm = GroupNorm::new(scope, config.groups_of(channels), channels)?;
                Self::Group(GroupNorm { eps: config.eps, ..norm })
            }
            NormKind::Batch => Self::Batch(BatchNorm::new(scope, channels)?),
            NormKind::Instance => Self::Instance(InstanceNorm::new(scope, channels)?),
            NormKind::Rms { dims } => Self::Rms(RmsNorm::new(scope, dims, channels)?),
            NormKind::None => Self::None,
        })
    }

    /// # Shapes
    /// - x: [B, C, ...]; returns the same
    ///
    /// # Errors
    /// x has other channels.
    pub fn forward(&self, x: &Tensor, mode: Mode) -> Result<Tensor> {
        match self {
            Self::Group(norm) => norm.forward(x),
            Self::Batch(norm) => norm.forward(x, mode),
            Self::Instance(norm) => norm.forward(x),
            Self::Rms(norm) => norm.forward(x),
            Self::None => Ok(x.shallow_clone()),
        }
    }

    /// Compiles the layer for inference; see [`GroupNorm::compile`].
    ///
    /// # Errors
    /// libtorch fails.
    pub fn compile(&self, fuse: bool) -> Result<CompiledNorm> {
        let norm = match self {
            Self::Group(norm) => Self::Group(norm.detached()?),
            Self::Batch(norm) => {
                Self::Batch(BatchNorm { affine: detached(&norm.affine)?, ..norm.clone() })
            }
            Self::Instance(norm) => {
                Self::Instance(InstanceNorm { affine: detached(&norm.affine)? })
            }
            Self::Rms(norm) => Self::Rms(norm.detached()?),
            Self::None => Self::None,
        };
        Ok(CompiledNorm::new(norm, fuse))
    }
}

impl Norm {
    /// [`Normalization::forward_modulated`] in one kernel: group and RMS normalisation in f32 on the CPU.
    /// `None` for the others.
    pub(crate) fn fused(
        &self,
        x: &Tensor,
        modulation: &Modulation,
        activation: Option<Activation>,
    ) -> Result<Option<Tensor>> {
        match self {
            Self::Group(norm) => norm.fused(x, modulation, activation),
            Self::Rms(norm) => norm.fused(x, modulation, activation),
            Self::Batch(_) | Self::Instance(_) | Self::None => Ok(None),
        }
    }

    /// True if the parameters are trained; false for kinds without a fused kernel.
    fn is_trained(&self) -> bool {
        match self {
            Self::Group(norm) => norm.affine.0.requires_grad(),
            Self::Rms(norm) => norm.is_trained(),
            Self::Batch(_) | Self::Instance(_) | Self::None => false,
        }
    }
}

impl Normalization for Norm {
    fn forward_modulated(
        &self,
        x: &Tensor,
        modulation: &Modulation,
        activation: Option<Activation>,
        mode: Mode,
    ) -> Result<Tensor> {
        if self.is_trained()
            && is_channels_last(x)
            && let Some(y) = self.fused(x, modulation, activation)?
        {
            return Ok(y);
        }
        let y = match modulation {
            Modulation::None => self.forward(x, mode)?,
            Modulation::Bias(row) => self.forward(&x.f_add(&broadcast_spatial(row, x)?)?, mode)?,
            // Adaptive group norm (scale-shift norm), Dhariwal & Nichol 2021, eq. 3.
            Modulation::ScaleShift(row) => {
                let (scale, shift) = halves(row, x)?;
                self.forward(x, mode)?.f_mul(&scale.f_add_scalar(1.0)?)?.f_add(&shift)?
            }
            Modulation::FusedAffine(row) => {
                let (scale, shift) = halves(row, x)?;
                let y = match self {
                    Self::Group(norm) => norm.normalize(x, None, None)?,
                    other => other.forward(x, mode)?,
                };
                y.f_mul(&scale)?.f_add(&shift)?
            }
        };
        Activation::maybe(activation, y)
    }
}

/// The same tensors without gradients.
fn detached((scale, shift): &(Weight, Weight)) -> Result<(Weight, Weight)> {
    Ok((Weight::new(scale.f_detach()?), Weight::new(shift.f_detach()?)))
}

/// A row [B, C] as [B, C, 1, …] in the dtype of x.
fn broadcast_spatial(row: &Tensor, x: &Tensor) -> Result<Tensor> {
    let mut shape = row.size();
    shape.resize(x.dim(), 1);
    Ok(row.f_to_kind(x.kind())?.f_reshape(&shape[..])?)
}

/// Both halves of a row [B, 2·C], as [B, C, 1, …].
fn halves(row: &Tensor, x: &Tensor) -> Result<(Tensor, Tensor)> {
    let mut parts = broadcast_spatial(row, x)?.f_chunk(2, 1)?.into_iter();
    match (parts.next(), parts.next()) {
        (Some(scale), Some(shift)) => Ok((scale, shift)),
        _ => Err(TorchError::message(format!("{:?} has no two halves", row.size()))),
    }
}
