//! Likelihood under the probability flow, against densities in closed form.

use std::f64::consts::{LN_2, PI};

use inkdrop_process::FnDenoiser;
use inkdrop_sampler::{Denoiser, FlowLikelihood, Trace};
use inkdrop_schedule::{NoiseLevel, SamplingSchedule, sigmas};
use inkdrop_torch::tch::{Kind, Tensor, no_grad_guard};

use crate::support::{F64, Mixture, largest, normal, slope, tape};

/// So much noise that N(0, 1) has the means of all data, too.
const SIGMAS: (f64, f64) = (0.002, 1e5);

/// n levels evenly spaced in ln σ.
fn path(n: usize) -> SamplingSchedule {
    let sigmas = sigmas::exponential(n, SIGMAS.0, SIGMAS.1).unwrap();
    let levels = sigmas.iter().map(|&sigma| NoiseLevel::from_sigma(sigma, 0.0));
    let levels: Vec<NoiseLevel> = levels.chain([NoiseLevel::NOISELESS]).collect();
    SamplingSchedule::from_levels(&levels).unwrap()
}

fn likelihood<'a>(
    denoiser: &'a dyn Denoiser,
    n: usize,
    x0: &Tensor,
    trace: Trace,
) -> FlowLikelihood<'a> {
    let mut signs = tape(1, &x0.size());
    FlowLikelihood::new(denoiser, &path(n), x0, trace, &mut signs).unwrap()
}

/// ln p of each image at the smallest noise level, `[B]`.
fn exact(mixture: &Mixture, x0: &Tensor) -> Tensor {
    let level = NoiseLevel::from_sigma(SIGMAS.0, 0.0);
    let x = x0 * level.signal();
    let joint = Tensor::stack(&mixture.log_joint(&x, level), 0);
    let each = joint.logsumexp([0i64].as_slice(), false) - 0.5 * (2.0 * PI).ln();
    let elements = (x0.numel() as i64 / x0.size()[0]) as f64;
    each.flatten(1, -1).sum_dim_intlist([1i64].as_slice(), false, Kind::Double)
        + elements * level.signal().ln()
}

fn bits(nats: Tensor, x0: &Tensor) -> Tensor {
    nats / (LN_2 * (x0.numel() as i64 / x0.size()[0]) as f64)
}

#[test]
fn gaussians_have_their_density_within_1e_4_bits_per_dim() {
    for (mean, deviation) in [(0.0, 0.5), (0.4, 0.2), (-0.3, 1.0)] {
        let model = Mixture::gaussian(mean, deviation);
        let x0 = normal(3, &[4, 1, 2, 2]) * deviation + mean;
        for trace in [Trace::Exact, Trace::Hutchinson] {
            let found = likelihood(&model, 1000, &x0, trace).log_density().unwrap();
            let error = largest(&bits(found - exact(&model, &x0), &x0));
            assert!(error < 1e-4, "N({mean}, {deviation}²), {trace:?}: {error}");
        }
    }
}

#[test]
fn mixtures_are_approached_with_order_two() {
    let model = Mixture::two();
    let x0 = Tensor::from_slice(&[-0.9f64, -0.5, 0.1, 0.45, 0.8]).view([5, 1, 1, 1]);
    let expected = exact(&model, &x0);
    let points: Vec<(usize, f64)> = [100, 200, 400]
        .iter()
        .map(|&n| {
            let found = likelihood(&model, n, &x0, Trace::Exact).log_density().unwrap();
            let fine = likelihood(&model, 3200, &x0, Trace::Exact).log_density().unwrap();
            (n, largest(&(found - fine)))
        })
        .collect();
    let order = slope(&points);
    assert!((order + 2.0).abs() < 0.3, "{order}: {points:?}");
    let found = likelihood(&model, 1600, &x0, Trace::Exact).log_density().unwrap();
    assert!(largest(&(found - expected)) < 1e-3);
}

/// Correlated pixels: the estimate of the trace varies, with the right mean.
#[test]
fn hutchinsons_estimate_is_unbiased() {
    let covariance = Tensor::from_slice(&[0.30f64, 0.18, 0.18, 0.20]).view([2, 2]);
    let model = {
        let covariance = covariance.copy();
        FnDenoiser::new(move |x: &Tensor, sigma| {
            let noisy = &covariance + Tensor::eye(2, F64) * (sigma * sigma);
            let gain = covariance.matmul(&noisy.inverse());
            Ok(x.view([-1, 2]).matmul(&gain).view_as(x))
        })
    };
    let x0 = Tensor::from_slice(&[0.3f64, -0.2]).view([1, 1, 1, 2]);
    let noisy = &covariance + Tensor::eye(2, F64) * SIGMAS.0.powi(2);
    let x = x0.view([2, 1]);
    let quadratic = x.tr().matmul(&noisy.inverse()).matmul(&x).double_value(&[0, 0]);
    let expected = -0.5 * quadratic - (2.0 * PI).ln() - 0.5 * noisy.det().double_value(&[]).ln();
    let found = likelihood(&model, 400, &x0, Trace::Exact).log_density().unwrap();
    assert!((found.double_value(&[0]) - expected).abs() < 2e-3, "{found} {expected}");

    let many = x0.repeat([400, 1, 1, 1]);
    let estimates = likelihood(&model, 100, &many, Trace::Hutchinson).log_density().unwrap();
    let (mean, deviation) = (estimates.mean(Kind::Double), estimates.std(true));
    let (mean, deviation) = (mean.double_value(&[]), deviation.double_value(&[]));
    assert!(deviation > 0.1, "{deviation}");
    assert!((mean - expected).abs() < 4.0 * deviation / 20.0, "{mean} {expected} {deviation}");
}

/// 256 levels: a bin of width 2/255 has the probability p·2/255.
#[test]
fn bits_per_dim_count_256_levels() {
    let model = Mixture::gaussian(0.0, 0.5);
    let x0 = normal(5, &[2, 1, 2, 2]) * 0.5;
    let bits = likelihood(&model, 200, &x0, Trace::Exact).bits_per_dim().unwrap();
    let nats = likelihood(&model, 200, &x0, Trace::Exact).log_density().unwrap();
    let expected = nats / (-4.0 * LN_2) - (2.0f64 / 255.0).log2();
    assert!(largest(&(bits - expected)) < 1e-12);
}

#[test]
fn a_denoiser_without_gradients_is_refused() {
    let model = Mixture::two();
    let x0 = normal(5, &[1, 1, 1, 1]);
    let steps = likelihood(&model, 10, &x0, Trace::Exact);
    let _guard = no_grad_guard();
    let error = steps.log_density().unwrap_err().to_string();
    assert!(error.contains("without gradients"), "{error}");
    let single = path(1);
    let error =
        FlowLikelihood::new(&model, &single, &x0, Trace::Exact, &mut tape(1, &[1, 1, 1, 1]));
    assert!(error.err().unwrap().to_string().contains("at least 2"));
}
