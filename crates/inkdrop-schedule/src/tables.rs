//! How much noise is in x at step i, and all that follows from it.

mod columns;

use ndarray::{Array1, Zip};

use crate::{ScheduleError, spacing};

/// The tables of a diffusion process of T steps; index i of 0..T is the
/// transition from x_i to x_{i+1} in the papers' count (x_0 is data).
///
/// Names follow Ho et al. 2020: α = 1 − β, ᾱ the running product of α.
///
/// The last β may be exactly 1: then ᾱ and the signal-to-noise ratio end at 0,
/// √(1/ᾱ) and √(1/ᾱ − 1) at ∞ and the log of the ratio at −∞. All other
/// entries of all tables are finite, and none is NaN.
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule {
    betas: Array1<f64>,
    alphas_cumprod: Array1<f64>,
    alphas_cumprod_prev: Array1<f64>,
    posterior_variance: Array1<f64>,
    posterior_mean_coef1: Array1<f64>,
    posterior_mean_coef2: Array1<f64>,
}

impl Schedule {
    /// The schedule of explicit betas.
    ///
    /// - betas: `[T]`, each in (0, 1); the last may be exactly 1
    ///
    /// # Errors
    /// No betas, one outside its range, or so large or small ones that ᾱ stops
    /// falling in f64.
    pub fn from_betas(betas: Array1<f64>) -> Result<Self, ScheduleError> {
        let open = betas.len() - usize::from(betas.last() == Some(&1.0));
        check_betas(&betas, open)?;
        let mut product = 1.0;
        let alphas_cumprod = betas.mapv(|beta| {
            product *= 1.0 - beta;
            product
        });
        check_falling(&alphas_cumprod, open)?;
        Ok(Self::derive(betas, alphas_cumprod))
    }

    /// The schedule of betas and an ᾱ that is not exactly their running product.
    ///
    /// The posterior mean is then the one that predicting noise gives,
    /// (x − β/√(1−ᾱ)·ε)/√α, written with x0 in place of ε; for a true running
    /// product both are the same.
    ///
    /// - betas: `[T]`, each in (0, 1)
    /// - alphas_cumprod: `[T]`, each in (0, 1), falling strictly
    ///
    /// # Errors
    /// No betas, values outside these ranges, or tables of two lengths.
    pub fn from_parts(
        betas: Array1<f64>,
        alphas_cumprod: Array1<f64>,
    ) -> Result<Self, ScheduleError> {
        if betas.len() != alphas_cumprod.len() {
            let (betas, alphas_cumprod) = (betas.len(), alphas_cumprod.len());
            return Err(ScheduleError::Lengths { betas, alphas_cumprod });
        }
        check_betas(&betas, betas.len())?;
        check_falling(&alphas_cumprod, betas.len())?;
        let mut schedule = Self::derive(betas, alphas_cumprod);
        for (i, (&beta, &bar)) in schedule.betas.iter().zip(&schedule.alphas_cumprod).enumerate() {
            let alpha = 1.0 - beta;
            schedule.posterior_mean_coef1[i] = beta * (bar / alpha).sqrt() / (1.0 - bar);
            schedule.posterior_mean_coef2[i] = (1.0 - bar - beta) / ((1.0 - bar) * alpha.sqrt());
        }
        Ok(schedule)
    }

    /// Ho et al. 2020, eq. 7.
    fn derive(betas: Array1<f64>, alphas_cumprod: Array1<f64>) -> Self {
        let prev = shifted(&alphas_cumprod, 1.0);
        Self {
            posterior_variance: table(&betas, &alphas_cumprod, &prev, |b, bar, prev| {
                b * (1.0 - prev) / (1.0 - bar)
            }),
            posterior_mean_coef1: table(&betas, &alphas_cumprod, &prev, |b, bar, prev| {
                b * prev.sqrt() / (1.0 - bar)
            }),
            posterior_mean_coef2: table(&betas, &alphas_cumprod, &prev, |b, bar, prev| {
                (1.0 - prev) * (1.0 - b).sqrt() / (1.0 - bar)
            }),
            alphas_cumprod_prev: prev,
            betas,
            alphas_cumprod,
        }
    }

    /// The process that visits only the kept steps, with β anew from their ᾱ
    /// (Nichol & Dhariwal 2021, eq. 19).
    ///
    /// - kept: strictly rising indices into this schedule
    ///
    /// # Errors
    /// Nothing kept, indices that do not rise or lie outside, or two kept
    /// steps so far apart that the β between them rounds to 1.
    pub fn respaced(&self, kept: &[usize]) -> Result<Self, ScheduleError> {
        spacing::check_kept(kept, self.steps())?;
        let mut last = 1.0;
        let mut betas = Vec::with_capacity(kept.len());
        for (index, &step) in kept.iter().enumerate() {
            let bar = self.alphas_cumprod[step];
            let beta = 1.0 - bar / last;
            if beta >= 1.0 && bar > 0.0 {
                return Err(ScheduleError::Beta { index, value: beta });
            }
            betas.push(beta);
            last = bar;
        }
        Self::from_betas(betas.into())
    }
}

/// A table of β, ᾱ and the ᾱ before it.
fn table(
    betas: &Array1<f64>,
    bars: &Array1<f64>,
    before: &Array1<f64>,
    f: impl Fn(f64, f64, f64) -> f64,
) -> Array1<f64> {
    Zip::from(betas).and(bars).and(before).map_collect(|&b, &bar, &before| f(b, bar, before))
}

/// The table moved one step later, with `first` in front.
fn shifted(table: &Array1<f64>, first: f64) -> Array1<f64> {
    Array1::from_shape_fn(table.len(), |i| if i == 0 { first } else { table[i - 1] })
}

/// The first `open` betas lie strictly between 0 and 1.
fn check_betas(betas: &Array1<f64>, open: usize) -> Result<(), ScheduleError> {
    if betas.is_empty() {
        return Err(ScheduleError::NoSteps(0));
    }
    match betas.iter().take(open).position(|&beta| !(beta > 0.0 && beta < 1.0)) {
        Some(index) => Err(ScheduleError::Beta { index, value: betas[index] }),
        None => Ok(()),
    }
}

/// ᾱ falls strictly from 1, and its first `open` entries stay above 0.
fn check_falling(bars: &Array1<f64>, open: usize) -> Result<(), ScheduleError> {
    let mut before = 1.0;
    for (index, &value) in bars.iter().enumerate() {
        if !(value < before && (value > 0.0 || index >= open)) {
            return Err(ScheduleError::AlphaBar { index, value, before });
        }
        before = value;
    }
    Ok(())
}
