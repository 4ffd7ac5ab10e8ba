//! The noise schedule: β, ᾱ and the tables derived from them (Ho et al. 2020), in f64.

use ndarray::{Array1, Zip};

use crate::ScheduleError;
use crate::timestep_spacing::check_timestep_map;

/// The tables of a diffusion process with T timesteps, each `[T]` in f64.
///
/// Index i is the transition from x_i to x_{i+1} in the count of the papers, where x_0 is data.
/// Names follow Ho et al. 2020: α = 1 − β, and ᾱ is the running product of α.
///
/// The last β may be exactly 1 (zero terminal SNR): then ᾱ and the SNR end at 0, √(1/ᾱ) and √(1/ᾱ − 1)
/// at ∞, and the log-SNR at −∞. All other entries are finite, and none is NaN.
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
    /// Derives all tables from betas.
    ///
    /// - betas: `[T]`, each in (0, 1); the last may be exactly 1
    ///
    /// # Errors
    /// No betas, a beta outside its range, or betas for which ᾱ stops decreasing in f64.
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

    /// Derives all tables from betas and an ᾱ that is not exactly their running product.
    ///
    /// The posterior mean is the one that follows from predicted noise, (x − β/√(1−ᾱ)·ε)/√α, written
    /// with x0 in place of ε. For a true running product both forms agree. The sprites notebook's
    /// first ᾱ is not the product of its betas; with these coefficients the x0 form equals the
    /// notebook's ε form at every timestep.
    ///
    /// - betas: `[T]`, each in (0, 1)
    /// - alphas_cumprod: `[T]`, each in (0, 1), strictly decreasing
    ///
    /// # Errors
    /// No betas, values outside these ranges, or tables of different lengths.
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

    /// The schedule of a shorter process over some of the timesteps, with β recomputed from their ᾱ
    /// (respacing; Nichol & Dhariwal 2021, eq. 19).
    ///
    /// - timestep_map: strictly increasing timesteps of this schedule
    ///
    /// # Errors
    /// No timesteps, timesteps that do not increase or lie outside, or two timesteps so far apart that
    /// the β between them rounds to 1.
    pub fn respaced(&self, timestep_map: &[usize]) -> Result<Self, ScheduleError> {
        check_timestep_map(timestep_map, self.num_timesteps())?;
        let mut last = 1.0;
        let mut betas = Vec::with_capacity(timestep_map.len());
        for (index, &step) in timestep_map.iter().enumerate() {
            let bar = self.alphas_cumprod[step];
            // β of a gap between timesteps; 1 only at the zero terminal SNR.
            let beta = 1.0 - bar / last;
            if beta >= 1.0 && bar > 0.0 {
                return Err(ScheduleError::Beta { index, value: beta });
            }
            betas.push(beta);
            last = bar;
        }
        Self::from_betas(betas.into())
    }

    /// T, the number of timesteps.
    pub fn num_timesteps(&self) -> usize {
        self.betas.len()
    }

    /// β: the variance that each timestep adds, in (0, 1); the last may be 1.
    pub fn betas(&self) -> &Array1<f64> {
        &self.betas
    }

    /// α = 1 − β.
    pub fn alphas(&self) -> Array1<f64> {
        1.0 - &self.betas
    }

    /// ᾱ: the fraction of the data's variance that remains, decreasing from 1 towards 0.
    pub fn alphas_cumprod(&self) -> &Array1<f64> {
        &self.alphas_cumprod
    }

    /// ᾱ of the previous timestep; 1 at index 0.
    pub fn alphas_cumprod_prev(&self) -> &Array1<f64> {
        &self.alphas_cumprod_prev
    }

    /// ᾱ of the next timestep; 0 at the last index.
    pub fn alphas_cumprod_next(&self) -> Array1<f64> {
        let steps = self.num_timesteps();
        Array1::from_shape_fn(steps, |i| self.alphas_cumprod.get(i + 1).copied().unwrap_or(0.0))
    }

    /// √ᾱ: the scale of the data in x.
    pub fn sqrt_alphas_cumprod(&self) -> Array1<f64> {
        self.alphas_cumprod.mapv(f64::sqrt)
    }

    /// √(1 − ᾱ): the standard deviation of the noise in x.
    pub fn sqrt_one_minus_alphas_cumprod(&self) -> Array1<f64> {
        self.alphas_cumprod.mapv(|bar| (1.0 - bar).sqrt())
    }

    /// ln(1 − ᾱ).
    pub fn log_one_minus_alphas_cumprod(&self) -> Array1<f64> {
        self.alphas_cumprod.mapv(|bar| (1.0 - bar).ln())
    }

    /// √(1/ᾱ): x0 = √(1/ᾱ)·x − √(1/ᾱ − 1)·ε. ∞ where ᾱ is 0.
    pub fn sqrt_recip_alphas_cumprod(&self) -> Array1<f64> {
        self.alphas_cumprod.mapv(|bar| (1.0 / bar).sqrt())
    }

    /// √(1/ᾱ − 1). ∞ where ᾱ is 0.
    pub fn sqrt_recipm1_alphas_cumprod(&self) -> Array1<f64> {
        self.alphas_cumprod.mapv(|bar| (1.0 / bar - 1.0).sqrt())
    }

    /// Variance of the posterior q(x_{t−1} | x_t, x_0); 0 at index 0.
    pub fn posterior_variance(&self) -> &Array1<f64> {
        &self.posterior_variance
    }

    /// ln of the posterior variance, with entry 0 (−∞) replaced by entry 1.
    pub fn posterior_log_variance_clipped(&self) -> Array1<f64> {
        let mut variance = self.posterior_variance.clone();
        variance[0] = self.posterior_variance.get(1).copied().unwrap_or(self.betas[0]);
        variance.mapv(f64::ln)
    }

    /// Coefficient of x_0 in the mean of the posterior q(x_{t−1} | x_t, x_0).
    pub fn posterior_mean_coef1(&self) -> &Array1<f64> {
        &self.posterior_mean_coef1
    }

    /// Coefficient of x_t in the mean of the posterior q(x_{t−1} | x_t, x_0).
    pub fn posterior_mean_coef2(&self) -> &Array1<f64> {
        &self.posterior_mean_coef2
    }

    /// Signal-to-noise ratio (SNR) ᾱ/(1 − ᾱ), decreasing; 0 where ᾱ is 0.
    pub fn snr(&self) -> Array1<f64> {
        self.alphas_cumprod.mapv(|bar| bar / (1.0 - bar))
    }

    /// ln(ᾱ/(1 − ᾱ)), the log-SNR (Kingma et al. 2021) in nats, decreasing; −∞ where ᾱ is 0.
    pub fn log_snr(&self) -> Array1<f64> {
        self.alphas_cumprod.mapv(|bar| bar.ln() - (-bar).ln_1p())
    }
}

/// Maps β, ᾱ and the ᾱ before it to a table.
fn table(
    betas: &Array1<f64>,
    bars: &Array1<f64>,
    before: &Array1<f64>,
    f: impl Fn(f64, f64, f64) -> f64,
) -> Array1<f64> {
    Zip::from(betas).and(bars).and(before).map_collect(|&b, &bar, &before| f(b, bar, before))
}

/// The table shifted by one timestep, with `first` in front.
fn shifted(table: &Array1<f64>, first: f64) -> Array1<f64> {
    Array1::from_shape_fn(table.len(), |i| if i == 0 { first } else { table[i - 1] })
}

/// Checks that the first `open` betas lie strictly between 0 and 1.
fn check_betas(betas: &Array1<f64>, open: usize) -> Result<(), ScheduleError> {
    if betas.is_empty() {
        return Err(ScheduleError::NoSteps(0));
    }
    match betas.iter().take(open).position(|&beta| !(beta > 0.0 && beta < 1.0)) {
        Some(index) => Err(ScheduleError::Beta { index, value: betas[index] }),
        None => Ok(()),
    }
}

/// Checks that ᾱ decreases strictly from 1, and that its first `open` entries stay above 0.
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
