//! Normalisation layers.

use inkdrop_torch::Result;
use inkdrop_torch::tch::{Tensor, no_grad_guard};

use crate::{Init, Mode, Scope};

/// PyTorch's default ε of every normalisation.
const EPS: f64 = 1e-5;

/// Batch normalisation over [B, H, W] with running statistics (Ioffe & Szegedy
/// 2015), keys `weight`, `bias`, `running_mean`, `running_var`, `num_batches_tracked`.
#[derive(Debug)]
pub struct BatchNorm2d {
    weight: Tensor,
    bias: Tensor,
    running_mean: Tensor,
    running_var: Tensor,
    batches: Tensor,
}

impl BatchNorm2d {
    /// Share of a batch's statistics in the new running statistics.
    pub const MOMENTUM: f64 = 0.1;

    /// A layer for this many channels: scale 1, shift 0, running mean 0 and variance 1.
    ///
    /// # Errors
    /// libtorch cannot allocate it.
    pub fn new(scope: &mut Scope, channels: i64) -> Result<Self> {
        Ok(Self {
            weight: scope.weight("weight", &[channels], Init::Constant(1.0))?,
            bias: scope.weight("bias", &[channels], Init::Constant(0.0))?,
            running_mean: scope.buffer("running_mean", &[channels], 0.0)?,
            running_var: scope.buffer("running_var", &[channels], 1.0)?,
            batches: scope.counter("num_batches_tracked")?,
        })
    }

    /// # Shapes
    /// - x: [B, C, H, W]; returns the same
    ///
    /// # Errors
    /// x has other channels.
    pub fn forward(&self, x: &Tensor, mode: Mode) -> Result<Tensor> {
        let train = mode == Mode::Train;
        if train {
            let _guard = no_grad_guard();
            let _ = self.batches.shallow_clone().f_add_scalar_(1)?;
        }
        Ok(x.f_batch_norm(
            Some(&self.weight),
            Some(&self.bias),
            Some(&self.running_mean),
            Some(&self.running_var),
            train,
            Self::MOMENTUM,
            EPS,
            true,
        )?)
    }
}

/// Group normalisation (Wu & He 2018), keys `weight` and `bias`.
#[derive(Debug)]
pub struct GroupNorm {
    weight: Tensor,
    bias: Tensor,
    groups: i64,
}

impl GroupNorm {
    /// A layer for channels in this many groups: scale 1, shift 0. The groups must divide the channels.
    ///
    /// # Errors
    /// libtorch cannot allocate it.
    pub fn new(scope: &mut Scope, groups: i64, channels: i64) -> Result<Self> {
        Ok(Self {
            weight: scope.weight("weight", &[channels], Init::Constant(1.0))?,
            bias: scope.weight("bias", &[channels], Init::Constant(0.0))?,
            groups,
        })
    }

    /// # Shapes
    /// - x: [B, C, ...]; returns the same
    ///
    /// # Errors
    /// x has other channels, or the groups do not divide them.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        Ok(x.f_group_norm(self.groups, Some(&self.weight), Some(&self.bias), EPS, true)?)
    }
}
