//! Noise schedule tables of a diffusers scheduler, computed in f32 as diffusers does.

use inkdrop_schedule::Schedule;
use inkdrop_torch::tch::{Device, Kind, Tensor};
use ndarray::Array1;

use super::arguments::Arguments;
use super::names::{BetaSchedule, Class};
use super::numpy::single;
use crate::Result;
use crate::error::ensure;

pub(super) const SINGLE: (Kind, Device) = (Kind::Float, Device::Cpu);

/// The tables, each `[T]`, f32 numbers as f64.
///
/// They are computed in f32 by diffusers' operations, since the relative rounding error of 1 − ᾱ is
/// 3e-4 at low noise. [`Arguments::noise_schedule`] is the schedule that they must agree with.
/// Classes without betas have empty tables.
#[derive(Default)]
pub(super) struct Tables {
    pub betas: Vec<f64>,
    /// ᾱ before a last value of 0 is raised.
    pub plain_bars: Vec<f64>,
    pub bars: Vec<f64>,
    pub sigmas: Vec<f64>,
    pub log_sigmas: Vec<f64>,
    /// ln √ᾱ − ln √(1−ᾱ).
    pub lambdas: Vec<f64>,
}

impl Tables {
    pub(super) fn of(arguments: &Arguments, class: Class) -> Result<Self> {
        if !class.has_betas() {
            return Ok(Self::default());
        }
        let mut betas = betas(arguments, class)?;
        if arguments.rescale_betas_zero_snr {
            betas = zero_terminal(&betas)?;
        }
        let plain = one_minus(&betas)?.f_cumprod(0, Kind::Float)?;
        let bars = plain.copy();
        if arguments.rescale_betas_zero_snr && !class.by_index() {
            let last = bars.size()[0] - 1;
            let _ = bars.f_get(last)?.f_fill_(2f64.powi(-24))?;
        }
        let sigmas = one_minus(&bars)?.f_div(&bars)?.f_sqrt()?;
        let alphas = bars.f_sqrt()?.f_log()?;
        let lambdas = alphas.f_sub(&one_minus(&bars)?.f_sqrt()?.f_log()?)?;
        Ok(Self {
            betas: values(&betas)?,
            plain_bars: values(&plain)?,
            log_sigmas: values(&sigmas.f_log()?)?,
            bars: values(&bars)?,
            sigmas: values(&sigmas)?,
            lambdas: values(&lambdas)?,
        })
    }

    /// T.
    pub(super) fn steps(&self) -> usize {
        self.bars.len()
    }

    /// The tables as a [`Schedule`], for samplers that need levels between timesteps. A last timestep
    /// without signal is left out.
    pub(super) fn schedule(&self) -> Result<Schedule> {
        let (mut betas, mut bars) = (self.betas.clone(), self.bars.clone());
        if bars.last() == Some(&0.0) {
            betas.pop();
            bars.pop();
        }
        Ok(Schedule::from_parts(Array1::from(betas), Array1::from(bars))?)
    }

    /// `_sigma_to_t`: linear interpolation in ln σ.
    pub(super) fn timestep_of_sigma(&self, sigma: f64) -> f64 {
        let (log, logs) = (sigma.max(1e-10).ln(), &self.log_sigmas);
        let low = logs.iter().rposition(|&at| log >= at).unwrap_or(0).min(logs.len() - 2);
        let part = ((logs[low] - log) / (logs[low] - logs[low + 1])).clamp(0.0, 1.0);
        (1.0 - part) * low as f64 + part * (low + 1) as f64
    }
}

fn betas(arguments: &Arguments, class: Class) -> Result<Tensor> {
    let steps = arguments.num_train_timesteps as i64;
    let (start, end) = arguments.beta_range(class);
    if let Some(betas) = &arguments.trained_betas {
        let given = betas.len();
        ensure!(
            given as i64 == steps,
            "trained_betas has {given} values, expected num_train_timesteps {steps}"
        );
        return Ok(Tensor::f_from_slice(betas)?.f_to_kind(Kind::Float)?);
    }
    Ok(match arguments.beta_schedule {
        BetaSchedule::Linear => Tensor::f_linspace(start, end, steps, SINGLE)?,
        BetaSchedule::ScaledLinear => {
            Tensor::f_linspace(start.sqrt(), end.sqrt(), steps, SINGLE)?.f_square()?
        }
        BetaSchedule::SquaredCosine => {
            let angle = |t: f64| (t + 0.008) / 1.008 * std::f64::consts::PI / 2.0;
            capped(steps, |t| angle(t).cos().powi(2))?
        }
        BetaSchedule::Exp => capped(steps, |t| (t * -12.0).exp())?,
        BetaSchedule::Sigmoid => {
            let curve = Tensor::f_linspace(-6.0, 6.0, steps, SINGLE)?.f_sigmoid()?;
            curve.f_mul_scalar(end - start)?.f_add_scalar(start)?
        }
    })
}

/// β from a function ᾱ(t) on [0, 1], at most 0.999.
fn capped(steps: i64, bar: impl Fn(f64) -> f64) -> Result<Tensor> {
    let at = |i: i64| bar(i as f64 / steps as f64);
    let betas: Vec<f64> = (0..steps).map(|i| (1.0 - at(i + 1) / at(i)).min(0.999)).collect();
    Ok(Tensor::f_from_slice(&betas)?.f_to_kind(Kind::Float)?)
}

/// Lin et al. 2023, algorithm 1, in f32.
fn zero_terminal(betas: &Tensor) -> Result<Tensor> {
    let roots = one_minus(betas)?.f_cumprod(0, Kind::Float)?.f_sqrt()?;
    let last = roots.size()[0] - 1;
    let (first, end) = (roots.f_get(0)?, roots.f_get(last)?);
    let scale = first.f_div(&first.f_sub(&end)?)?;
    let bars = roots.f_sub(&end)?.f_mul(&scale)?.f_square()?;
    let alphas = bars.f_narrow(0, 1, last)?.f_div(&bars.f_narrow(0, 0, last)?)?;
    one_minus(&Tensor::f_cat(&[bars.f_narrow(0, 0, 1)?, alphas], 0)?)
}

fn one_minus(x: &Tensor) -> Result<Tensor> {
    Ok(x.f_neg()?.f_add_scalar(1.0)?)
}

pub(super) fn values(x: &Tensor) -> Result<Vec<f64>> {
    Ok(Vec::try_from(x.f_to_kind(Kind::Double)?)?)
}

/// exp of values evenly spaced between two logarithms, in f32.
pub(super) fn log_line(from: f64, to: f64, count: usize) -> Result<Vec<f64>> {
    let line = Tensor::f_linspace(single(from), single(to), count as i64, SINGLE)?;
    values(&line.f_exp()?)
}
