//! Consistency losses and sampling on a mixture of Gaussians, whose posterior and probability flow are exact.

use std::cell::RefCell;

use inkdrop_process::{
    ConsistencyBatch, ConsistencyGrid, ConsistencyTuning, Prediction, ProcessError,
};
use inkdrop_sampler::{Consistency, Denoiser, Sampler};
use inkdrop_schedule::{NoiseLevel, SolverStep};
use inkdrop_torch::tch::Tensor;

use crate::support::{F64, Mixture, levels, normal, schedule, slope, tape};

type Result = std::result::Result<Tensor, ProcessError>;

/// The noise level at which the consistency function is the identity.
const LEAST: f64 = 0.02;
const MOST: f64 = 80.0;

fn level(sigma: f64) -> NoiseLevel {
    NoiseLevel::from_sigma(sigma, 0.0)
}

fn numbers(x: &Tensor) -> Vec<f64> {
    Vec::try_from(x.flatten(0, -1)).unwrap()
}

/// The exact consistency function: the end at LEAST of the flow through x = x0 + σ·ε.
fn end(mixture: &Mixture, x: f64, sigma: f64) -> f64 {
    let (from, to) = (level(sigma), level(LEAST));
    mixture.flow(x * from.signal(), from, to) / to.signal()
}

/// Standard deviation of x0 + σ·ε, roughly: the scale of x.
fn scale(sigma: f64) -> f64 {
    0.6f64.hypot(sigma)
}

/// Points x at noise level σ among which a function of x is interpolated.
const POINTS: usize = 801;
const WIDTH: f64 = 5.0;

fn point(index: usize, sigma: f64) -> f64 {
    let place = index as f64 / (POINTS - 1) as f64;
    scale(sigma) * WIDTH * (2.0 * place - 1.0)
}

/// A function of x at noise level σ by its values at the points: the cubic through the four nearest.
fn interpolated(values: &[f64], x: f64, sigma: f64) -> f64 {
    let place = (x / (scale(sigma) * WIDTH) + 1.0) * 0.5 * (POINTS - 1) as f64;
    let first = (place.floor() as isize - 1).clamp(0, POINTS as isize - 4) as usize;
    let t = place - first as f64;
    let [a, b, c, d] = [0, 1, 2, 3].map(|offset| values[first + offset]);
    let cubic = |at: f64, others: [f64; 3]| {
        others.iter().map(|other| (t - other) / (at - other)).product::<f64>()
    };
    a * cubic(0.0, [1.0, 2.0, 3.0])
        + b * cubic(1.0, [0.0, 2.0, 3.0])
        + c * cubic(2.0, [0.0, 1.0, 3.0])
        + d * cubic(3.0, [0.0, 1.0, 2.0])
}

/// The posterior of x0 given x = x0 + σ·ε as points with weights: three for each component, exact for
/// polynomials of degree five (Gauss–Hermite).
fn posterior(mixture: &Mixture, x: f64, sigma: f64) -> Vec<(f64, f64)> {
    let density = |&(weight, mean, deviation): &(f64, f64, f64)| {
        let variance = deviation * deviation + sigma * sigma;
        weight * (-(x - mean).powi(2) / (2.0 * variance)).exp() / variance.sqrt()
    };
    let densities: Vec<f64> = mixture.0.iter().map(density).collect();
    let all = densities.iter().sum::<f64>();
    let nodes = [(0.0, 2.0 / 3.0), (3f64.sqrt(), 1.0 / 6.0), (-(3f64.sqrt()), 1.0 / 6.0)];
    let of = |(&(_, mean, deviation), density): (&(f64, f64, f64), f64)| {
        let variance = deviation * deviation;
        let gain = variance / (variance + sigma * sigma);
        let (mean, deviation) = (mean + gain * (x - mean), (gain * sigma * sigma).sqrt());
        nodes.map(|(node, weight)| (mean + node * deviation, density / all * weight))
    };
    mixture.0.iter().zip(densities).flat_map(of).collect()
}

/// The best function of x at noise level t for the targets of tuning: the mean of f(x_r; r) over the posterior,
/// where the loss itself makes x_r.
fn tuned(
    mixture: &Mixture,
    tuning: &ConsistencyTuning,
    later: &[f64],
    (t, r): (f64, f64),
) -> Vec<f64> {
    let pairs: Vec<Vec<(f64, f64)>> =
        (0..POINTS).map(|index| posterior(mixture, point(index, t), t)).collect();
    let rows = |of: &dyn Fn(usize, f64) -> f64| {
        let rows = pairs.iter().enumerate();
        let rows = rows.flat_map(|(index, pairs)| pairs.iter().map(move |pair| of(index, pair.0)));
        Tensor::from_slice(&rows.collect::<Vec<f64>>()).view([-1, 1, 1, 1])
    };
    let x0 = rows(&|_, x0| x0);
    let noise = rows(&|index, x0| (point(index, t) - x0) / t);
    let count = x0.size()[0] as usize;
    let (sigmas, targets) = (vec![t; count], vec![r; count]);
    let batch = ConsistencyBatch { x0: &x0, noise: &noise, sigmas: &sigmas, targets: &targets };
    let ends = RefCell::new(Vec::new());
    let target = |x: &Tensor, _: &[f64]| -> Result {
        let all = numbers(x).into_iter().map(|x| interpolated(later, x, r)).collect::<Vec<_>>();
        *ends.borrow_mut() = all.clone();
        Ok(Tensor::from_slice(&all).view_as(x))
    };
    let student = |x: &Tensor, _: &[f64]| -> Result { Ok(x.shallow_clone()) };
    let _ = tuning.loss(batch, &student, &target).unwrap();
    let mut ends = ends.into_inner().into_iter();
    let mean =
        |pairs: &Vec<(f64, f64)>| pairs.iter().zip(&mut ends).map(|(pair, end)| pair.1 * end).sum();
    pairs.iter().map(mean).collect()
}

/// Song et al. 2023, theorem 1, for the targets of training: with levels t and t·(1 − n(t)/q), the function that all
/// steps agree on differs from the end of the flow by O(1/q).
#[test]
fn the_targets_of_tuning_converge_to_the_end_of_the_flow_with_the_first_order() {
    let mixture = Mixture::two();
    let starts = [-1.2, -0.4, 0.3, 0.9, 1.7].map(|z| z * scale(MOST));
    let exact = starts.map(|x| end(&mixture, x, MOST));
    let errors = [64usize, 128, 256, 512].map(|q| {
        let tuning = ConsistencyTuning { q: q as f64, ..ConsistencyTuning::default() };
        // From MOST down, until f is the identity.
        let mut path = vec![MOST];
        while path[path.len() - 1] > LEAST {
            path.push(tuning.target(path[path.len() - 1]).max(LEAST));
        }
        let mut values: Vec<f64> = (0..POINTS).map(|index| point(index, LEAST)).collect();
        for pair in path.windows(2).rev() {
            values = tuned(&mixture, &tuning, &values, (pair[0], pair[1]));
        }
        let error = |(x, exact): (&f64, &f64)| (interpolated(&values, *x, MOST) - exact).abs();
        (q, starts.iter().zip(&exact).map(error).fold(0.0, f64::max))
    });
    let order = -slope(&errors);
    assert!((0.85..1.25).contains(&order), "order {order}: {errors:?}");
    assert!(errors[3].1 < 0.02, "{errors:?}");
}

/// Song et al. 2023, theorem 1: Heun's steps of the exact denoiser over the grid have the second order.
#[test]
fn the_targets_of_distillation_converge_to_the_end_of_the_flow_with_the_second_order() {
    let mixture = Mixture::two();
    let starts = [-1.2, -0.4, 0.3, 0.9, 1.7].map(|z| z * scale(MOST));
    let exact = starts.map(|x| end(&mixture, x, MOST));
    let teacher = |x: &Tensor, sigmas: &[f64]| -> Result {
        let level = level(sigmas[0]);
        Ok(mixture.x0(&(x * level.signal()), level))
    };
    let errors = [40usize, 80, 160].map(|count| {
        let grid = ConsistencyGrid { levels: count + 1, ..ConsistencyGrid::default() };
        let x = RefCell::new(Tensor::from_slice(&starts).view([-1, 1, 1, 1]));
        for pair in grid.sigmas((LEAST, MOST)).windows(2) {
            // The loss gives its target the image to which the teacher leads.
            let from = x.borrow().shallow_clone();
            let (x0, noise) = (from.zeros_like(), &from / pair[0]);
            let (sigmas, targets) = ([pair[0]; 5], [pair[1]; 5]);
            let batch =
                ConsistencyBatch { x0: &x0, noise: &noise, sigmas: &sigmas, targets: &targets };
            let student = |x: &Tensor, _: &[f64]| -> Result { Ok(x.shallow_clone()) };
            let target = |next: &Tensor, _: &[f64]| -> Result {
                *x.borrow_mut() = next.shallow_clone();
                Ok(next.shallow_clone())
            };
            let _ = grid.loss(batch, 0.5, (&student, &target), Some(&teacher)).unwrap();
        }
        let ends = numbers(&x.into_inner());
        let error = |(end, exact): (&f64, &f64)| (end - exact).abs();
        (count, ends.iter().zip(&exact).map(error).fold(0.0, f64::max))
    });
    let order = -slope(&errors);
    assert!((1.7..2.5).contains(&order), "order {order}: {errors:?}");
}

/// The end of the flow of every value, as a denoiser.
struct ExactEnd<'a>(&'a Mixture);

impl Denoiser for ExactEnd<'_> {
    fn denoise(
        &self,
        x: &Tensor,
        step: &SolverStep,
    ) -> std::result::Result<Prediction, ProcessError> {
        let to = level(LEAST);
        let share = cdf(self.0, x, step.from);
        let (mut low, mut high) = (x.full_like(-10.0), x.full_like(10.0));
        for _ in 0..60 {
            let middle = (&low + &high) * 0.5;
            let below = cdf(self.0, &middle, to).lt_tensor(&share);
            low = middle.where_self(&below, &low);
            high = high.where_self(&below, &middle);
        }
        Prediction::from_x0((low + high) * (0.5 / to.signal()), x, step)
    }
}

/// The share of the mass below each value, in x of unit variance.
fn cdf(mixture: &Mixture, x: &Tensor, at: NoiseLevel) -> Tensor {
    let mut sum = x.zeros_like();
    for &(weight, mean, deviation) in &mixture.0 {
        let variance = at.alpha_cumprod * deviation * deviation + 1.0 - at.alpha_cumprod;
        let standard = (x - mean * at.signal()) / (2.0 * variance).sqrt();
        sum += (standard.erf() + 1.0) * (0.5 * weight);
    }
    sum
}

/// The largest difference between the distribution of a sample and that of the mixture at LEAST
/// (Kolmogorov–Smirnov).
fn distance(mixture: &Mixture, x: &Tensor) -> f64 {
    let at = level(LEAST);
    let x = x.view(-1) * at.signal();
    let shares = numbers(&cdf(mixture, &x.sort(0, false).0, at));
    let count = shares.len() as f64;
    let apart = |(index, share): (usize, f64)| {
        (share - index as f64 / count).abs().max((share - (index + 1) as f64 / count).abs())
    };
    shares.into_iter().enumerate().map(apart).fold(0.0, f64::max)
}

/// Song et al. 2023, algorithm 1: with the exact function, any levels in between give the data at σ_min.
#[test]
fn multistep_sampling_with_the_exact_function_gives_the_exact_distribution() {
    const COUNT: i64 = 20_000;
    let mixture = Mixture::two();
    let shape = [COUNT, 1, 1, 1];
    // x at MOST: 40 % of the images from the first component.
    let first = Tensor::arange(COUNT, F64).lt(0.4 * COUNT as f64).view(shape);
    let of = |(_, mean, deviation): (f64, f64, f64)| normal(5, &shape) * deviation + mean;
    let x0 = of(mixture.0[0]).where_self(&first, &of(mixture.0[1]));
    let start = x0 * level(MOST).signal() + normal(6, &shape) * level(MOST).noise();
    let sampled = |model: &dyn Denoiser, inner: &[f64]| {
        let path = levels([MOST].iter().chain(inner).copied().chain([LEAST]));
        let sampler =
            Sampler::Consistency(Consistency { sigma_min: LEAST, ..Consistency::default() });
        let mut noise = tape(inner.len() as i64 + 1, &shape);
        let x = sampler.sample(model, &schedule(), &path, start.copy(), &mut noise).unwrap();
        distance(&mixture, &(x / path.steps()[path.len() - 1].to.signal()))
    };
    let most = 1.63 / (COUNT as f64).sqrt(); // 1 % of all samples are further away
    for inner in [&[][..], &[0.8], &[0.1], &[5.0, 0.4], &[20.0, 4.0, 0.9, 0.3]] {
        let apart = sampled(&ExactEnd(&mixture), inner);
        assert!(apart < most, "{inner:?}: {apart}, expected below {most}");
    }
    // The posterior mean is another function: the test tells them apart.
    assert!(sampled(&mixture, &[0.8]) > 5.0 * most);
}
