//! The tables by name. Each has T entries.

use ndarray::Array1;

use crate::Schedule;

impl Schedule {
    /// T, the number of steps.
    pub fn steps(&self) -> usize {
        self.betas.len()
    }

    /// β: variance that each step adds, in (0, 1); the last may be 1.
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

    /// √(1/ᾱ): x0 = √(1/ᾱ)·x − √(1/ᾱ − 1)·ε. ∞ where ᾱ is 0.
    pub fn sqrt_recip_alphas_cumprod(&self) -> Array1<f64> {
        self.alphas_cumprod.mapv(|bar| (1.0 / bar).sqrt())
    }

    /// √(1/ᾱ − 1). ∞ where ᾱ is 0.
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

    /// Signal-to-noise ratio ᾱ/(1 − ᾱ), falling; 0 where ᾱ is 0.
    pub fn snr(&self) -> Array1<f64> {
        self.alphas_cumprod.mapv(|bar| bar / (1.0 - bar))
    }

    /// ln(ᾱ/(1 − ᾱ)), the log signal-to-noise ratio (Kingma et al. 2021), in
    /// nats, falling; −∞ where ᾱ is 0.
    pub fn log_snr(&self) -> Array1<f64> {
        self.alphas_cumprod.mapv(|bar| bar.ln() - (-bar).ln_1p())
    }
}
