//! Likelihood: the variational lower bound in bits per dimension (Ho et al. 2020, eq. 5).

use std::f64::consts::{LN_2, PI};

use inkdrop_nn::{Conditioning, Network};
use inkdrop_torch::NoiseSource;
use inkdrop_torch::tch::{Kind, Tensor, no_grad_guard};

use crate::prediction::prediction_from_output;
use crate::tables::{Scales, mean_flat};
use crate::{ForwardNoise, Prediction, Process, ProcessError};

/// The variational lower bound of a batch of images.
#[derive(Debug)]
pub struct BitsPerDim {
    /// Bits per dimension, `[B]`: the sum of `bound` and `prior`.
    pub total: Tensor,
    /// The prior term: information that remains in x_T, `[B]`.
    pub prior: Tensor,
    /// Terms of the bound, [B, T], the noisiest timestep first.
    pub bound: Tensor,
    /// Mean squared error of the predicted x0 at each timestep, [B, T].
    pub x0_mse: Tensor,
    /// Mean squared error of the predicted ε at each timestep, [B, T].
    pub eps_mse: Tensor,
}

/// One term of the variational lower bound.
#[derive(Debug)]
pub struct BoundTerm {
    /// Timestep index of the process, T − 1 to 0.
    pub index: usize,
    /// The term in bits per dimension, `[B]`.
    pub bound: Tensor,
    /// Mean squared error of the predicted x0, `[B]`.
    pub x0_mse: Tensor,
    /// Mean squared error of the predicted ε, `[B]`.
    pub eps_mse: Tensor,
}

/// An iterator over the terms of the variational lower bound of images, one network call each.
#[must_use = "nothing is computed before the iterator is advanced"]
pub struct BoundTerms<'a> {
    process: &'a Process,
    network: &'a dyn Network,
    x0: &'a Tensor,
    conditioning: &'a Conditioning,
    noise: &'a mut dyn NoiseSource,
    indices: std::iter::Rev<std::ops::Range<usize>>,
}

impl<'a> BoundTerms<'a> {
    /// Prepares the terms for images in [−1, 1], [B, C, H, W]. Each term draws new noise.
    ///
    /// # Errors
    /// The network predicts ε in a process with zero terminal SNR.
    pub fn new(
        process: &'a Process,
        network: &'a dyn Network,
        x0: &'a Tensor,
        conditioning: &'a Conditioning,
        noise: &'a mut dyn NoiseSource,
    ) -> Result<Self, ProcessError> {
        process.check_signal()?;
        let indices = (0..process.schedule().num_timesteps()).rev();
        Ok(Self { process, network, x0, conditioning, noise, indices })
    }

    fn term(&mut self, index: usize) -> Result<BoundTerm, ProcessError> {
        let _guard = no_grad_guard();
        let Self { process, x0, .. } = *self;
        let t = Tensor::f_full([x0.size()[0]], index as i64, (Kind::Int64, x0.device()))?;
        let eps = self.noise.normal(&x0.size(), x0.device())?.f_to_kind(x0.kind())?;
        let x = process.q_sample(x0, &t, &eps, ForwardNoise::Standard)?;
        let time = process.network_time(&t)?;
        let out = self.network.forward(&x, &time, self.conditioning)?;
        let scales = Scales::at(&process.tables, &t, &x)?;
        let mut prediction = prediction_from_output(process.config(), &out, &x, &scales)?;
        if process.config().clip {
            prediction.x0 = prediction.x0.f_clamp(-1.0, 1.0)?;
            prediction.eps =
                x.f_sub(&prediction.x0.f_mul(&scales.signal)?)?.f_div(&scales.noise)?;
        }
        Ok(BoundTerm {
            index,
            bound: vb_bits(&prediction, x0, &x, &t, &scales)?,
            x0_mse: mean_flat(&prediction.x0.f_sub(x0)?.f_square()?)?,
            eps_mse: mean_flat(&prediction.eps.f_sub(&eps)?.f_square()?)?,
        })
    }
}

impl Iterator for BoundTerms<'_> {
    type Item = Result<BoundTerm, ProcessError>;

    fn next(&mut self) -> Option<Self::Item> {
        let index = self.indices.next()?;
        let term = self.term(index);
        if term.is_err() {
            self.indices = (0..0).rev();
        }
        Some(term)
    }
}

impl BitsPerDim {
    /// Sums the terms of a batch, the noisiest timestep first.
    ///
    /// # Errors
    /// libtorch is out of memory.
    pub fn from_terms(
        process: &Process,
        x0: &Tensor,
        terms: &[BoundTerm],
    ) -> Result<Self, ProcessError> {
        let _guard = no_grad_guard();
        let stack = |part: fn(&BoundTerm) -> &Tensor| {
            Tensor::f_stack(&terms.iter().map(part).collect::<Vec<_>>(), 1)
        };
        let bound = stack(|term| &term.bound)?;
        let prior = prior_bits(process, x0)?;
        let sum = bound.f_sum_dim_intlist([1i64].as_slice(), false, bound.kind())?;
        let (x0_mse, eps_mse) = (stack(|term| &term.x0_mse)?, stack(|term| &term.eps_mse)?);
        Ok(Self { total: sum.f_add(&prior)?, prior, bound, x0_mse, eps_mse })
    }
}

/// Bits per dimension of images in [−1, 1] with 256 levels: the variational lower bound
/// (Nichol & Dhariwal 2021, section 3). It takes T network calls; [`BoundTerms`] iterates over them.
///
/// # Shapes
/// - x0: [B, C, H, W]
///
/// # Errors
/// The network does not accept x0, the noise source runs out, or the network predicts ε in a process
/// with zero terminal SNR.
pub fn bits_per_dim(
    process: &Process,
    network: &dyn Network,
    x0: &Tensor,
    conditioning: &Conditioning,
    noise: &mut dyn NoiseSource,
) -> Result<BitsPerDim, ProcessError> {
    let terms = BoundTerms::new(process, network, x0, conditioning, noise)?;
    BitsPerDim::from_terms(process, x0, &terms.collect::<Result<Vec<_>, _>>()?)
}

/// The prior term KL(q(x_T | x0) ‖ N(0, 1)) in bits per dimension, `[B]`. It does not depend on the
/// network.
///
/// # Shapes
/// - x0: [B, C, H, W]
///
/// # Errors
/// libtorch is out of memory.
pub fn prior_bits(process: &Process, x0: &Tensor) -> Result<Tensor, ProcessError> {
    let last = process.schedule().num_timesteps() - 1;
    let bar = process.schedule().alphas_cumprod()[last];
    let mean = x0.f_mul_scalar(bar.sqrt())?;
    let variance = 1.0 - bar;
    // ½(−1 − ln σ² + σ² + μ²)
    let kl = mean.f_square()?.f_add_scalar(variance - variance.ln() - 1.0)?;
    Ok(mean_flat(&kl)?.f_mul_scalar(0.5 / LN_2)?)
}

/// One term of the variational lower bound in bits per dimension: KL(q(x_{t−1} | x_t, x0) ‖
/// p(x_{t−1} | x_t)), and at t = 0 the negative log-likelihood of the pixels.
///
/// - returns `[B]`
pub(crate) fn vb_bits(
    prediction: &Prediction,
    x0: &Tensor,
    x: &Tensor,
    t: &Tensor,
    scales: &Scales,
) -> Result<Tensor, ProcessError> {
    let mean = match &prediction.mean {
        Some(mean) => mean.shallow_clone(),
        None => scales.posterior_mean(&prediction.x0, x)?,
    };
    let log_variance = prediction.log_variance.f_expand_as(&mean)?;
    let kl = normal_kl((&scales.posterior_mean(x0, x)?, &scales.small), (&mean, &log_variance))?;
    let nll = pixel_nll(x0, &mean, &log_variance.f_mul_scalar(0.5)?)?;
    let bits = |x: &Tensor| -> Result<Tensor, ProcessError> {
        Ok(mean_flat(x)?.f_mul_scalar(1.0 / LN_2)?)
    };
    Ok(bits(&nll)?.f_where_self(&t.f_eq(0)?, &bits(&kl)?)?)
}

/// KL divergence of two Gaussians, each given as mean and log-variance, in nats.
fn normal_kl(
    (mean1, log1): (&Tensor, &Tensor),
    (mean2, log2): (&Tensor, &Tensor),
) -> Result<Tensor, ProcessError> {
    let distance = mean1.f_sub(mean2)?.f_square()?.f_mul(&log2.f_neg()?.f_exp()?)?;
    let ratio = log1.f_sub(log2)?;
    let kl = ratio.f_exp()?.f_sub(&ratio)?.f_add(&distance)?;
    Ok(kl.f_sub_scalar(1.0)?.f_mul_scalar(0.5)?)
}

/// Negative log-likelihood of pixel values under a discretized Gaussian with bins of width 2/255. The
/// first and the last bin extend to infinity (Ho et al. 2020, eq. 13).
fn pixel_nll(x: &Tensor, mean: &Tensor, log_scale: &Tensor) -> Result<Tensor, ProcessError> {
    let centred = x.f_sub(mean)?;
    let precision = log_scale.f_neg()?.f_exp()?;
    let edge = |half: f64| centred.f_add_scalar(half)?.f_mul(&precision);
    let above = normal_cdf(&edge(1.0 / 255.0)?)?;
    let below = normal_cdf(&edge(-1.0 / 255.0)?)?;
    // As improved-diffusion: a bin far from the mean has probability 0 in f32.
    let ln = |x: Tensor| x.f_clamp_min(1e-12)?.f_log();
    let first = ln(above.shallow_clone())?;
    let last = ln(below.f_neg()?.f_add_scalar(1.0)?)?;
    let inner = ln(above.f_sub(&below)?)?;
    let upper = last.f_where_self(&x.f_gt(0.999)?, &inner)?;
    Ok(first.f_where_self(&x.f_lt(-0.999)?, &upper)?.f_neg()?)
}

/// The tanh approximation of the normal cumulative distribution function, as in improved-diffusion.
fn normal_cdf(x: &Tensor) -> Result<Tensor, ProcessError> {
    let cubic = x.f_pow_tensor_scalar(3)?.f_mul_scalar(0.044715)?.f_add(x)?;
    let tanh = cubic.f_mul_scalar((2.0 / PI).sqrt())?.f_tanh()?;
    Ok(tanh.f_add_scalar(1.0)?.f_mul_scalar(0.5)?)
}
