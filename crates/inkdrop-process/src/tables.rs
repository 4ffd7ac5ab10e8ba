//! Tables of a process on a device, and their entries for a batch.

use inkdrop_schedule::{Schedule, SolverStep};
use inkdrop_torch::tch::{Device, Kind, Tensor};
use ndarray::Array1;

use crate::{ProcessError, Variance};

/// Tables over all timesteps, `[T]` in f64, on a device.
#[derive(Debug)]
pub(crate) struct Tables {
    pub(crate) signal: Tensor,
    pub(crate) noise_variance: Tensor,
    posterior_coef_x0: Tensor,
    posterior_coef_x: Tensor,
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
        fixed_large[0] = small[0]; // as improved-diffusion: β_0 would be too large for pixel values
        Ok(Self {
            signal: table(&schedule.sqrt_alphas_cumprod())?,
            noise_variance: table(&schedule.alphas_cumprod().mapv(|bar| 1.0 - bar))?,
            posterior_coef_x0: table(schedule.posterior_mean_coef1())?,
            posterior_coef_x: table(schedule.posterior_mean_coef2())?,
            small: table(&small)?,
            large: table(&large)?,
            fixed_large: table(&fixed_large)?,
        })
    }
}

/// Coefficients that convert the output of a network to a prediction, each [] or [B, 1, …].
#[derive(Debug)]
pub(crate) struct Scales {
    /// √ᾱ.
    pub(crate) signal: Tensor,
    /// √(1−ᾱ).
    pub(crate) noise: Tensor,
    /// Coefficient of x0 in the posterior mean.
    pub(crate) posterior_coef_x0: Tensor,
    /// Coefficient of x in the posterior mean.
    pub(crate) posterior_coef_x: Tensor,
    /// Log of the posterior variance.
    pub(crate) small: Tensor,
    /// ln β.
    pub(crate) large: Tensor,
    /// Log of the larger fixed variance.
    pub(crate) fixed_large: Tensor,
}

impl Scales {
    /// Coefficients of one step for all images.
    ///
    /// - own: the step whose posterior mean the network was trained to predict
    pub(crate) fn of_step(
        step: &SolverStep,
        own: &SolverStep,
        x: &Tensor,
    ) -> Result<Self, ProcessError> {
        let number = |value: f64| Tensor::f_scalar_tensor(value, (x.kind(), Device::Cpu));
        let (posterior_coef_x0, posterior_coef_x) = own.posterior_mean_coefs();
        Ok(Self {
            signal: number(step.from.signal())?,
            noise: number(step.from.noise())?,
            posterior_coef_x0: number(posterior_coef_x0)?,
            posterior_coef_x: number(posterior_coef_x)?,
            small: number(step.posterior_variance().max(1e-20).ln())?,
            large: number(step.beta().ln())?,
            fixed_large: number(step.beta().ln())?,
        })
    }

    /// Coefficients of timestep t of each image.
    ///
    /// - t: `[B]`, i64 in 0..T
    pub(crate) fn at(tables: &Tables, t: &Tensor, x: &Tensor) -> Result<Self, ProcessError> {
        let pick = |table: &Tensor| -> Result<Tensor, ProcessError> {
            like(&table.f_index_select(0, t)?, x)
        };
        Ok(Self {
            signal: pick(&tables.signal)?,
            noise: like(&tables.noise_variance.f_index_select(0, t)?.f_sqrt()?, x)?,
            posterior_coef_x0: pick(&tables.posterior_coef_x0)?,
            posterior_coef_x: pick(&tables.posterior_coef_x)?,
            small: pick(&tables.small)?,
            large: pick(&tables.large)?,
            fixed_large: pick(&tables.fixed_large)?,
        })
    }

    /// The mean of q(x_{t−1} | x_t, x0).
    pub(crate) fn posterior_mean(&self, x0: &Tensor, x: &Tensor) -> Result<Tensor, ProcessError> {
        Ok(x0.f_mul(&self.posterior_coef_x0)?.f_add(&x.f_mul(&self.posterior_coef_x)?)?)
    }

    /// Log of a fixed variance.
    pub(crate) fn fixed(&self, variance: Variance) -> &Tensor {
        if variance == Variance::FixedSmall { &self.small } else { &self.fixed_large }
    }
}

/// Reshapes `[B]` to [B, 1, …] for broadcasting over x, in the dtype of x.
pub(crate) fn like(values: &Tensor, x: &Tensor) -> Result<Tensor, ProcessError> {
    let mut shape = vec![1i64; x.dim()];
    shape[0] = -1;
    Ok(values.f_to_kind(x.kind())?.f_view(&shape[..])?)
}

/// Mean over all axes except the batch.
///
/// - returns `[B]`
pub(crate) fn mean_flat(x: &Tensor) -> Result<Tensor, ProcessError> {
    let kind = if x.kind() == Kind::Double { Kind::Double } else { Kind::Float };
    Ok(x.f_flatten(1, -1)?.f_mean_dim([1i64].as_slice(), false, kind)?)
}
