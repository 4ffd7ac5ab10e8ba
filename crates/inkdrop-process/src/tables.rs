//! The numbers of a process beside a batch: one for all images, or one for each.

use inkdrop_schedule::{Leg, Schedule};
use inkdrop_torch::tch::{Device, Kind, Tensor};
use ndarray::Array1;

use crate::{ProcessError, Variance};

/// Tables over all steps, `[T]` in f64, on a device.
#[derive(Debug)]
pub(crate) struct Tables {
    pub(crate) signal: Tensor,
    pub(crate) noise_variance: Tensor,
    mean_of_x0: Tensor,
    mean_of_x: Tensor,
    small: Tensor,
    large: Tensor,
    fixed_large: Tensor,
}

impl Tables {
    pub(crate) fn new(schedule: &Schedule, device: Device) -> Result<Self, ProcessError> {
        let table = |values: &Array1<f64>| -> Result<Tensor, ProcessError> {
            Ok(Tensor::f_from_slice(&values.to_vec())?.f_to_device(device)?)
        };
        let small = schedule.posterior_log_variance_clipped();
        let large = schedule.betas().mapv(f64::ln);
        let mut fixed_large = large.clone();
        fixed_large[0] = small[0]; // the last step's β would be no noise level of pixels
        Ok(Self {
            signal: table(&schedule.sqrt_alphas_cumprod())?,
            noise_variance: table(&schedule.alphas_cumprod().mapv(|bar| 1.0 - bar))?,
            mean_of_x0: table(schedule.posterior_mean_coef1())?,
            mean_of_x: table(schedule.posterior_mean_coef2())?,
            small: table(&small)?,
            large: table(&large)?,
            fixed_large: table(&fixed_large)?,
        })
    }
}

/// What turns a network's output into a prediction: each [] or [B, 1, …].
#[derive(Debug)]
pub(crate) struct Scales {
    /// √ᾱ.
    pub(crate) signal: Tensor,
    /// √(1−ᾱ).
    pub(crate) noise: Tensor,
    /// Weight of x0 in the posterior mean.
    pub(crate) mean_of_x0: Tensor,
    /// Weight of x in it.
    pub(crate) mean_of_x: Tensor,
    /// ln of the posterior variance.
    pub(crate) small: Tensor,
    /// ln β.
    pub(crate) large: Tensor,
    /// ln of the larger fixed variance.
    pub(crate) fixed_large: Tensor,
}

impl Scales {
    /// Of one step for all images.
    ///
    /// - own: the step whose posterior mean a network was trained to predict
    pub(crate) fn of_leg(leg: &Leg, own: &Leg, x: &Tensor) -> Result<Self, ProcessError> {
        let number = |value: f64| Tensor::f_scalar_tensor(value, (x.kind(), Device::Cpu));
        let (mean_of_x0, mean_of_x) = own.posterior_mean_coefs();
        Ok(Self {
            signal: number(leg.from.signal())?,
            noise: number(leg.from.noise())?,
            mean_of_x0: number(mean_of_x0)?,
            mean_of_x: number(mean_of_x)?,
            small: number(leg.posterior_variance().max(1e-20).ln())?,
            large: number(leg.beta().ln())?,
            fixed_large: number(leg.beta().ln())?,
        })
    }

    /// Of step t of each image.
    ///
    /// - t: `[B]`, i64 in 0..T
    pub(crate) fn at(tables: &Tables, t: &Tensor, x: &Tensor) -> Result<Self, ProcessError> {
        let pick = |table: &Tensor| -> Result<Tensor, ProcessError> {
            like(&table.f_index_select(0, t)?, x)
        };
        Ok(Self {
            signal: pick(&tables.signal)?,
            noise: like(&tables.noise_variance.f_index_select(0, t)?.f_sqrt()?, x)?,
            mean_of_x0: pick(&tables.mean_of_x0)?,
            mean_of_x: pick(&tables.mean_of_x)?,
            small: pick(&tables.small)?,
            large: pick(&tables.large)?,
            fixed_large: pick(&tables.fixed_large)?,
        })
    }

    /// The mean of q(x_{t−1} | x_t, x0).
    pub(crate) fn posterior_mean(&self, x0: &Tensor, x: &Tensor) -> Result<Tensor, ProcessError> {
        Ok(x0.f_mul(&self.mean_of_x0)?.f_add(&x.f_mul(&self.mean_of_x)?)?)
    }

    /// The fixed variance's logarithm.
    pub(crate) fn fixed(&self, variance: Variance) -> &Tensor {
        if variance == Variance::FixedSmall { &self.small } else { &self.fixed_large }
    }
}

/// `[B]` as [B, 1, …] with as many axes as x, in x's kind.
pub(crate) fn like(values: &Tensor, x: &Tensor) -> Result<Tensor, ProcessError> {
    let mut shape = vec![1i64; x.dim()];
    shape[0] = -1;
    Ok(values.f_to_kind(x.kind())?.f_view(&shape[..])?)
}

/// The mean over all axes but the first.
///
/// - returns `[B]`
pub(crate) fn mean_flat(x: &Tensor) -> Result<Tensor, ProcessError> {
    let kind = if x.kind() == Kind::Double { Kind::Double } else { Kind::Float };
    Ok(x.f_flatten(1, -1)?.f_mean_dim([1i64].as_slice(), false, kind)?)
}
