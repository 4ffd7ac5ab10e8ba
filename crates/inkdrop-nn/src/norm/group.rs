//! Group normalisation, alone and in one go with its neighbours.

use inkdrop_torch::tch::Tensor;
use inkdrop_torch::{GroupNormInputs, PostOp, Result, group_norm, takes_group_norm};

use super::{EPS, Modulation, affine, detached, in_kind_of};
use crate::{Activation, Scope, Weight};

/// Group normalisation (Wu & He 2018), keys `weight` and `bias`.
///
/// With 32 groups this is improved-diffusion's GroupNorm32: always computed in f32.
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
    fused: bool,
}

impl GroupNorm {
    /// A layer for channels in this many groups: scale 1, shift 0, ε 1e-5. The groups must divide the channels.
    ///
    /// # Errors
    /// libtorch cannot allocate it.
    pub fn new(scope: &mut Scope, groups: i64, channels: i64) -> Result<Self> {
        Ok(Self { affine: affine(scope, channels)?, groups, eps: EPS, fused: false })
    }

    /// With another ε.
    pub(super) fn with_eps(self, eps: f64) -> Self {
        Self { eps, ..self }
    }

    /// The same layer without gradients.
    ///
    /// - fuse: compute it in one go with what is told and the activation, where that can be
    ///
    /// # Errors
    /// libtorch fails.
    pub fn for_inference(&self, fuse: bool) -> Result<Self> {
        Ok(Self { affine: detached(&self.affine)?, fused: fuse, ..self.clone() })
    }

    /// Scale and shift, `[C]` each.
    pub(crate) fn affine(&self) -> (&Tensor, &Tensor) {
        (&self.affine.0, &self.affine.1)
    }

    /// The layer and an activation.
    ///
    /// # Errors
    /// As [`GroupNorm::forward`].
    pub fn forward_with_post_op(&self, x: &Tensor, activation: Activation) -> Result<Tensor> {
        match self.fused(x, &Modulation::None, Some(activation))? {
            Some(y) => Ok(y),
            None => activation.apply(&self.forward(x)?),
        }
    }

    /// All in one go, where this layer, x and the activation allow it.
    pub(super) fn fused(
        &self,
        x: &Tensor,
        modulation: &Modulation,
        activation: Option<Activation>,
    ) -> Result<Option<Tensor>> {
        let post_op = activation.map_or(Some(PostOp::None), Activation::fused);
        let post_op = post_op.filter(|op| *op != PostOp::Gelu);
        let (Some(post_op), true) = (post_op, self.fused && takes_group_norm(x, self.groups))
        else {
            return Ok(None);
        };
        let own = (self.affine.0.f_unsqueeze(0)?, self.affine.1.f_unsqueeze(0)?);
        let (before, (scale, shift)) = match modulation {
            Modulation::None => (None, own),
            Modulation::Bias(row) => (Some(row), own),
            Modulation::FusedAffine(row) => (None, halves(row)?),
            Modulation::ScaleShift(row) => {
                let (scale, shift) = halves(row)?;
                let scale = scale.f_add_scalar(1.0)?;
                (None, (own.0.f_mul(&scale)?, own.1.f_mul(&scale)?.f_add(&shift)?))
            }
        };
        let (groups, eps) = (self.groups, self.eps);
        let inputs = GroupNormInputs { groups, eps, before, scale: &scale, shift: &shift };
        group_norm(x, inputs, post_op).map(Some)
    }

    /// The normalisation without scale and shift.
    pub(super) fn bare(&self, x: &Tensor) -> Result<Tensor> {
        let none: Option<&Tensor> = None;
        in_kind_of(&self.affine.0, x, |x| {
            Ok(x.f_group_norm(self.groups, none, none, self.eps, true)?)
        })
    }

    /// # Shapes
    /// - x: [B, C, ...]; returns the same
    ///
    /// # Errors
    /// x has other channels, or the groups do not divide them.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (weight, bias) = (Some(&*self.affine.0), Some(&*self.affine.1));
        in_kind_of(&self.affine.0, x, |x| {
            Ok(x.f_group_norm(self.groups, weight, bias, self.eps, true)?)
        })
    }
}

/// Both halves of a row of 2·C numbers.
fn halves(row: &Tensor) -> Result<(Tensor, Tensor)> {
    let half = row.size()[1] / 2;
    Ok((row.f_narrow(1, 0, half)?, row.f_narrow(1, half, half)?))
}
