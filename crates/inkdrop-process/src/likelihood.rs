//! How many bits an image takes: the variational bound (Ho et al. 2020, eq. 5).

use std::f64::consts::{LN_2, PI};

use inkdrop_nn::{Conditioning, Network};
use inkdrop_torch::NoiseSource;
use inkdrop_torch::tch::{Kind, Tensor, no_grad_guard};

use crate::predict::interpret;
use crate::tables::{Scales, mean_flat};
use crate::{Noising, Prediction, Process, ProcessError};

/// The bits per dimension of a batch of images.
#[derive(Debug)]
pub struct BitsPerDim {
    /// All of it, `[B]`: the sum of `bound` and `prior`.
    pub total: Tensor,
    /// What is left in x_T, `[B]`.
    pub prior: Tensor,
    /// The terms of the bound, [B, T], the noisiest step first.
    pub bound: Tensor,
    /// Mean squared error of the predicted image at each step, [B, T].
    pub x0_mse: Tensor,
    /// Mean squared error of the predicted noise at each step, [B, T].
    pub eps_mse: Tensor,
}

/// Bits per dimension of images in [−1, 1] with 256 levels, step by step
/// (Nichol & Dhariwal 2021, section 3).
///
/// It draws fresh noise at every step, and takes T network calls.
///
/// # Shapes
/// - x0: [B, C, H, W]
///
/// # Errors
/// A network that cannot take x0, noise that runs out, or a network that predicts ε in a process
/// that ends without signal.
pub fn bits_per_dim(
    process: &Process,
    network: &dyn Network,
    x0: &Tensor,
    conditioning: &Conditioning,
    noise: &mut dyn NoiseSource,
) -> Result<BitsPerDim, ProcessError> {
    process.check_signal()?;
    let _guard = no_grad_guard();
    let (mut bound, mut x0_mse, mut eps_mse) = (Vec::new(), Vec::new(), Vec::new());
    for index in (0..process.schedule().steps() as i64).rev() {
        let t = Tensor::f_full([x0.size()[0]], index, (Kind::Int64, x0.device()))?;
        let eps = noise.normal(&x0.size(), x0.device())?.f_to_kind(x0.kind())?;
        let x = process.q_sample(x0, &t, &eps, Noising::Exact)?;
        let out = network.forward(&x, &process.network_time(&t)?, conditioning)?;
        let scales = Scales::at(&process.tables, &t, &x)?;
        let mut prediction = interpret(process.config(), &out, &x, &scales)?;
        if process.config().clip {
            prediction.x0 = prediction.x0.f_clamp(-1.0, 1.0)?;
            prediction.eps =
                x.f_sub(&prediction.x0.f_mul(&scales.signal)?)?.f_div(&scales.noise)?;
        }
        x0_mse.push(mean_flat(&prediction.x0.f_sub(x0)?.f_square()?)?);
        eps_mse.push(mean_flat(&prediction.eps.f_sub(&eps)?.f_square()?)?);
        bound.push(vb_bits(&prediction, x0, &x, &t, &scales)?);
    }
    let bound = Tensor::f_stack(&bound, 1)?;
    let prior = prior_bits(process, x0)?;
    let total = bound.f_sum_dim_intlist([1i64].as_slice(), false, bound.kind())?.f_add(&prior)?;
    let (x0_mse, eps_mse) = (Tensor::f_stack(&x0_mse, 1)?, Tensor::f_stack(&eps_mse, 1)?);
    Ok(BitsPerDim { total, prior, bound, x0_mse, eps_mse })
}

/// KL(q(x_T | x0) ‖ N(0, 1)) in bits per dimension, `[B]`; what no training can change.
///
/// # Shapes
/// - x0: [B, C, H, W]
///
/// # Errors
/// libtorch is out of memory.
pub fn prior_bits(process: &Process, x0: &Tensor) -> Result<Tensor, ProcessError> {
    let last = process.schedule().steps() - 1;
    let bar = process.schedule().alphas_cumprod()[last];
    let mean = x0.f_mul_scalar(bar.sqrt())?;
    let variance = 1.0 - bar;
    // ½(−1 − ln σ² + σ² + μ²)
    let kl = mean.f_square()?.f_add_scalar(variance - variance.ln() - 1.0)?;
    Ok(mean_flat(&kl)?.f_mul_scalar(0.5 / LN_2)?)
}

/// One term of the bound, in bits per dimension: KL(q(x_{t−1} | x_t, x0) ‖ p(x_{t−1} | x_t)),
/// and at t = 0 the negative log-likelihood of the pixels.
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

/// KL between two Gaussians, each given as mean and ln of the variance, in nats.
fn normal_kl(
    (mean1, log1): (&Tensor, &Tensor),
    (mean2, log2): (&Tensor, &Tensor),
) -> Result<Tensor, ProcessError> {
    let distance = mean1.f_sub(mean2)?.f_square()?.f_mul(&log2.f_neg()?.f_exp()?)?;
    let ratio = log1.f_sub(log2)?;
    let kl = ratio.f_exp()?.f_sub(&ratio)?.f_add(&distance)?;
    Ok(kl.f_sub_scalar(1.0)?.f_mul_scalar(0.5)?)
}

/// −ln of the probability that a Gaussian gives the pixel values' bins, 2/255 wide; the first and
/// the last bin reach to infinity (Ho et al. 2020, eq. 13).
fn pixel_nll(x: &Tensor, mean: &Tensor, log_scale: &Tensor) -> Result<Tensor, ProcessError> {
    let centred = x.f_sub(mean)?;
    let precision = log_scale.f_neg()?.f_exp()?;
    let edge = |half: f64| centred.f_add_scalar(half)?.f_mul(&precision);
    let above = normal_cdf(&edge(1.0 / 255.0)?)?;
    let below = normal_cdf(&edge(-1.0 / 255.0)?)?;
    let ln = |x: Tensor| x.f_clamp_min(1e-12)?.f_log();
    let first = ln(above.shallow_clone())?;
    let last = ln(below.f_neg()?.f_add_scalar(1.0)?)?;
    let inner = ln(above.f_sub(&below)?)?;
    let upper = last.f_where_self(&x.f_gt(0.999)?, &inner)?;
    Ok(first.f_where_self(&x.f_lt(-0.999)?, &upper)?.f_neg()?)
}

/// The tanh approximation of the normal distribution function that improved-diffusion uses.
fn normal_cdf(x: &Tensor) -> Result<Tensor, ProcessError> {
    let cubic = x.f_pow_tensor_scalar(3)?.f_mul_scalar(0.044715)?.f_add(x)?;
    let tanh = cubic.f_mul_scalar((2.0 / PI).sqrt())?.f_tanh()?;
    Ok(tanh.f_add_scalar(1.0)?.f_mul_scalar(0.5)?)
}
