//! Normalisation layers. All compute in f32 (or f64) and give back the kind that they were given.

mod group;

pub use group::GroupNorm;

use inkdrop_torch::tch::{Kind, Tensor, no_grad_guard};
use inkdrop_torch::{Result, TorchError};
use serde::{Deserialize, Serialize};

use crate::{Activation, Init, Mode, Scope, Weight};

/// PyTorch's default ε of every normalisation.
const EPS: f64 = 1e-5;

/// Computes in the kind of the weights, which half precision leaves in f32.
fn in_kind_of(
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

/// Batch normalisation over batch and places with running statistics (Ioffe & Szegedy
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
}

impl BatchNorm {
    /// Share of a batch's statistics in the new running statistics.
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
        })
    }

    /// What the layer does in [`Mode::Eval`], as a factor and a term for each channel in f64.
    pub(crate) fn line(&self) -> Result<(Tensor, Tensor)> {
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

/// Which normalisation a network uses.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NormKind {
    /// [`GroupNorm`].
    Group,
    /// [`BatchNorm`].
    Batch,
    /// [`InstanceNorm`].
    Instance,
    /// None: x as it is, no keys.
    None,
}

/// A normalisation and its numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NormConfig {
    /// Which.
    pub kind: NormKind,
    /// Groups of a group normalisation; they must divide the channels.
    pub groups: i64,
    /// ε under the root of a group normalisation.
    pub eps: f64,
}

impl NormConfig {
    /// Group normalisation with ε 1e-5.
    pub fn groups(groups: i64) -> Self {
        Self { kind: NormKind::Group, groups, eps: EPS }
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
    /// x as it is.
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
                let norm = GroupNorm::new(scope, config.groups, channels)?;
                Self::Group(norm.with_eps(config.eps))
            }
            NormKind::Batch => Self::Batch(BatchNorm::new(scope, channels)?),
            NormKind::Instance => Self::Instance(InstanceNorm::new(scope, channels)?),
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
            Self::None => Ok(x.shallow_clone()),
        }
    }

    /// The layer with what the signal says, then an activation.
    ///
    /// # Shapes
    /// - x: [B, C, ...]; returns the same
    ///
    /// # Errors
    /// x has other channels, or what is told is no row for each image.
    pub(crate) fn forward_modulated(
        &self,
        x: &Tensor,
        modulation: &Modulation,
        activation: Option<Activation>,
        mode: Mode,
    ) -> Result<Tensor> {
        if let Self::Group(norm) = self
            && let Some(y) = norm.fused(x, modulation, activation)?
        {
            return Ok(y);
        }
        let y = match modulation {
            Modulation::None => self.forward(x, mode)?,
            Modulation::Bias(row) => self.forward(&x.f_add(&broadcast_spatial(row, x)?)?, mode)?,
            Modulation::ScaleShift(row) => {
                let (scale, shift) = halves(row, x)?;
                self.forward(x, mode)?.f_mul(&scale.f_add_scalar(1.0)?)?.f_add(&shift)?
            }
            Modulation::FusedAffine(row) => {
                let (scale, shift) = halves(row, x)?;
                let bare = match self {
                    Self::Group(norm) => norm.bare(x)?,
                    other => other.forward(x, mode)?,
                };
                bare.f_mul(&scale)?.f_add(&shift)?
            }
        };
        Activation::maybe(activation, y)
    }

    /// The layer and an activation, in one go where that can be.
    ///
    /// # Errors
    /// As [`Norm::forward`].
    pub fn forward_with_post_op(
        &self,
        x: &Tensor,
        activation: Activation,
        mode: Mode,
    ) -> Result<Tensor> {
        self.forward_modulated(x, &Modulation::None, Some(activation), mode)
    }

    /// The same layer for inference; see [`GroupNorm::for_inference`].
    ///
    /// # Errors
    /// libtorch fails.
    pub fn for_inference(&self, fuse: bool) -> Result<Self> {
        match self {
            Self::Group(norm) => Ok(Self::Group(norm.for_inference(fuse)?)),
            Self::Batch(norm) => {
                Ok(Self::Batch(BatchNorm { affine: detached(&norm.affine)?, ..norm.clone() }))
            }
            Self::Instance(norm) => {
                Ok(Self::Instance(InstanceNorm { affine: detached(&norm.affine)? }))
            }
            Self::None => Ok(Self::None),
        }
    }
}

/// The same tensors without gradients.
fn detached((scale, shift): &(Weight, Weight)) -> Result<(Weight, Weight)> {
    Ok((Weight::new(scale.f_detach()?), Weight::new(shift.f_detach()?)))
}

/// What a signal has to say at a normalisation; rows are [1, ...] or [B, ...].
#[derive(Debug)]
pub(crate) enum Modulation {
    None,
    /// Biases, added to x first: C numbers.
    Bias(Tensor),
    /// The result is multiplied with 1 + the first half, and the second half added: 2·C numbers.
    ScaleShift(Tensor),
    /// Scale and shift of a group normalisation, instead of its own: 2·C numbers.
    FusedAffine(Tensor),
}

/// A row as [B, C, 1, …] in the kind of x.
fn broadcast_spatial(row: &Tensor, x: &Tensor) -> Result<Tensor> {
    let mut shape = row.size();
    shape.resize(x.dim(), 1);
    Ok(row.f_to_kind(x.kind())?.f_reshape(&shape[..])?)
}

/// Both halves of a row, as [B, C, 1, …].
fn halves(row: &Tensor, x: &Tensor) -> Result<(Tensor, Tensor)> {
    let mut parts = broadcast_spatial(row, x)?.f_chunk(2, 1)?.into_iter();
    match (parts.next(), parts.next()) {
        (Some(first), Some(second)) => Ok((first, second)),
        _ => Err(TorchError::message(format!("{:?} has no two halves", row.size()))),
    }
}
