//! How much noise is in x at step i, and all that follows from it.

use ndarray::{Array1, Zip};

use crate::ScheduleError;

/// The tables of a diffusion process of T steps; index i of 0..T is the
/// transition from x_i to x_{i+1} in the papers' count (x_0 is data).
///
/// Names follow Ho et al. 2020: α = 1 − β, ᾱ the running product of α.
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
    /// # Errors
    /// No betas, or one outside (0, 1).
    pub fn from_betas(betas: Array1<f64>) -> Result<Self, ScheduleError> {
        let mut product = 1.0;
        let alphas_cumprod = betas.mapv(|beta| {
            product *= 1.0 - beta;
            product
        });
        check(&betas)?;
        Ok(Self::derive(betas, alphas_cumprod))
    }

    /// The schedule of betas and an ᾱ that is not exactly their running product.
    ///
    /// The posterior mean is then the one that predicting noise gives,
    /// (x − β/√(1−ᾱ)·ε)/√α, written with x0 in place of ε; for a true running
    /// product both are the same.
    ///
    /// # Errors
    /// No betas, or one outside (0, 1).
    pub fn from_parts(
        betas: Array1<f64>,
        alphas_cumprod: Array1<f64>,
    ) -> Result<Self, ScheduleError> {
        check(&betas)?;
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
        let table = |f: fn(f64, f64, f64) -> f64| {
            Zip::from(&betas)
                .and(&alphas_cumprod)
                .and(&prev)
                .map_collect(|&b, &bar, &prev| f(b, bar, prev))
        };
        Self {
            posterior_variance: table(|b, bar, prev| b * (1.0 - prev) / (1.0 - bar)),
            posterior_mean_coef1: table(|b, bar, prev| b * prev.sqrt() / (1.0 - bar)),
            posterior_mean_coef2: table(|b, bar, prev| {
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
    /// Nothing kept, or indices that do not rise or lie outside.
    pub fn respaced(&self, kept: &[usize]) -> Result<Self, ScheduleError> {
        self.check_picks(kept)?;
        let mut last = 1.0;
        let betas = kept.iter().map(|&step| {
            let bar = self.alphas_cumprod[step];
            let beta = 1.0 - bar / last;
            last = bar;
            beta
        });
        Self::from_betas(betas.collect())
    }

    /// Makes sure that picks rise and lie inside.
    pub(crate) fn check_picks(&self, picks: &[usize]) -> Result<(), ScheduleError> {
        if picks.is_empty() {
            return Err(ScheduleError::StepCount { asked: 0, available: self.steps() });
        }
        for (position, &step) in picks.iter().enumerate() {
            if step >= self.steps() || (position > 0 && picks[position - 1] >= step) {
                return Err(ScheduleError::Kept { position, step, available: self.steps() });
            }
        }
        Ok(())
    }

    /// T, the number of steps.
    pub fn steps(&self) -> usize {
        self.betas.len()
    }

    /// β: variance that each step adds, in (0, 1).
    pub fn betas(&self) -> &Array1<f64> {
        &self.betas
    }

    /// α = 1 − β.
    pub fn alphas(&self) -> Array1<f64> {
        1.0 - &self.betas
    }

    /// ᾱ: share of the data's variance that is left after the step, falling from 1 to 0.
    pub fn alphas_cumprod(&self) -> &Array1<f64> {
        &self.alphas_cumprod
    }

    /// ᾱ before the step; 1 at index 0.
    pub fn alphas_cumprod_prev(&self) -> &Array1<f64> {
        &self.alphas_cumprod_prev
    }

    /// ᾱ after the next step; 0 at the last index.
    pub fn alphas_cumprod_next(&self) -> Array1<f64> {
        let steps = self.steps();
        Array1::from_shape_fn(steps, |i| self.alphas_cumprod.get(i + 1).copied().unwrap_or(0.0))
    }

    /// √ᾱ: scale of the data in x.
    pub fn sqrt_alphas_cumprod(&self) -> Array1<f64> {
        self.alphas_cumprod.mapv(f64::sqrt)
    }

    /// √(1 − ᾱ): standard deviation of the noise in x.
    pub fn sqrt_one_minus_alphas_cumprod(&self) -> Array1<f64> {
        self.alphas_cumprod.mapv(|bar| (1.0 - bar).sqrt())
    }

    /// ln(1 − ᾱ).
    pub fn log_one_minus_alphas_cumprod(&self) -> Array1<f64> {
        self.alphas_cumprod.mapv(|bar| (1.0 - bar).ln())
    }

    /// √(1/ᾱ): x0 = √(1/ᾱ)·x − √(1/ᾱ − 1)·ε.
    pub fn sqrt_recip_alphas_cumprod(&self) -> Array1<f64> {
        self.alphas_cumprod.mapv(|bar| (1.0 / bar).sqrt())
    }

    /// √(1/ᾱ − 1).
    pub fn sqrt_recipm1_alphas_cumprod(&self) -> Array1<f64> {
        self.alphas_cumprod.mapv(|bar| (1.0 / bar - 1.0).sqrt())
    }

    /// Variance of q(x_{t−1} | x_t, x_0); 0 at index 0.
    pub fn posterior_variance(&self) -> &Array1<f64> {
        &self.posterior_variance
    }

    /// ln of the posterior variance, with entry 0 (−∞) replaced by entry 1.
    pub fn posterior_log_variance_clipped(&self) -> Array1<f64> {
        let mut variance = self.posterior_variance.clone();
        variance[0] = self.posterior_variance.get(1).copied().unwrap_or(self.betas[0]);
        variance.mapv(f64::ln)
    }

    /// Weight of x_0 in the mean of q(x_{t−1} | x_t, x_0).
    pub fn posterior_mean_coef1(&self) -> &Array1<f64> {
        &self.posterior_mean_coef1
    }

    /// Weight of x_t in the mean of q(x_{t−1} | x_t, x_0).
    pub fn posterior_mean_coef2(&self) -> &Array1<f64> {
        &self.posterior_mean_coef2
    }

    /// Signal-to-noise ratio ᾱ/(1 − ᾱ), falling.
    pub fn snr(&self) -> Array1<f64> {
        self.alphas_cumprod.mapv(|bar| bar / (1.0 - bar))
    }
}

/// The table moved one step later, with `first` in front.
fn shifted(table: &Array1<f64>, first: f64) -> Array1<f64> {
    Array1::from_shape_fn(table.len(), |i| if i == 0 { first } else { table[i - 1] })
}

fn check(betas: &Array1<f64>) -> Result<(), ScheduleError> {
    if betas.is_empty() {
        return Err(ScheduleError::NoSteps(0));
    }
    match betas.iter().position(|&beta| !(beta > 0.0 && beta < 1.0)) {
        Some(index) => Err(ScheduleError::Beta { index, value: betas[index] }),
        None => Ok(()),
    }
}
