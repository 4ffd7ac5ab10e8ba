//! Stochastic samplers along Brownian-tree noise.

use inkdrop_sampler::{DpmSolver, SaSolver, Sampler, Tau, TauRange};
use inkdrop_schedule::{NoiseLevel, SamplingSchedule, sigmas};
use inkdrop_torch::tch::{Device, Kind, Tensor};
use inkdrop_torch::{BrownianTreeNoise, NoiseSource, PerImageNoise};

use crate::support::{Mixture, normal, schedule, slope};

const SHAPE: [i64; 4] = [3, 1, 8, 8];

fn path(steps: usize) -> SamplingSchedule {
    crate::support::levels(sigmas::exponential(steps + 1, 0.05, 40.0).unwrap())
}

fn sampled(sampler: Sampler, path: &SamplingSchedule, mut noise: impl NoiseSource) -> Tensor {
    let model = Mixture::two();
    sampler.sample(&model, &schedule(), path, normal(3, &SHAPE), &mut noise).unwrap()
}

/// Root mean square distance between runs of n and of 2n steps.
fn distances<N: NoiseSource>(sampler: Sampler, noise: impl Fn() -> N) -> Vec<(usize, f64)> {
    let run = |steps: usize| sampled(sampler, &path(steps), noise());
    let distance = |steps: usize| {
        let difference: Tensor = run(steps) - run(2 * steps);
        f64::try_from(difference.square().mean(Kind::Double)).unwrap().sqrt()
    };
    [16, 32, 64, 128].map(|steps| (steps, distance(steps))).to_vec()
}

/// Runs of more steps converge to one image along one path of noise: strong convergence. With fresh noise
/// in every step they do not.
#[test]
fn sde_solvers_converge_strongly_along_a_brownian_tree() {
    let sa = SaSolver {
        tau: Tau { value: 1.0, range: TauRange::Sigmas(0.0, 100.0) },
        ..SaSolver::IMAGES
    };
    for (name, sampler) in [
        ("ddpm", Sampler::Ddpm),
        ("ddim, eta 1", Sampler::Ddim { eta: 1.0 }),
        ("euler-ancestral", Sampler::EulerAncestral { eta: 1.0 }),
        ("dpm++2m-sde", Sampler::Dpm(DpmSolver::PP_2M_SDE)),
        ("dpm2-ancestral", Sampler::Dpm2Ancestral { eta: 1.0 }),
        ("sa-solver", Sampler::SaSolver(sa)),
    ] {
        let points = distances(sampler, || BrownianTreeNoise::new(5, 0..3));
        let order = -slope(&points);
        assert!(order > 0.6, "{name}: {order} {points:?}");
        let fresh = distances(sampler, || PerImageNoise::new(5, 0..3));
        assert!(-slope(&fresh) < 0.3 && fresh[3].1 > 10.0 * points[3].1, "{name}: {fresh:?}");
    }
}

/// The posterior mean of a single image is that image: then steps of the SDE add up exactly.
#[test]
fn noise_of_two_steps_is_that_of_one() {
    let model = Mixture::gaussian(0.3, 0.0);
    let run = |sigmas: &[f64]| {
        let mut noise = BrownianTreeNoise::new(9, 0..3);
        let path = crate::support::levels(sigmas.iter().copied());
        let x = normal(3, &SHAPE);
        Sampler::Ddim { eta: 1.0 }.sample(&model, &schedule(), &path, x, &mut noise).unwrap()
    };
    let (one, three) = (run(&[20.0, 0.5]), run(&[20.0, 7.0, 1.1, 0.5]));
    let difference = f64::try_from((&one - &three).abs().max()).unwrap();
    assert!(difference < 1e-5, "{difference}");
    let spread = f64::try_from(one.std(false)).unwrap();
    assert!(spread > 0.2, "the noise is there: {spread}");
}

/// W(s2) − W(s0) = (W(s1) − W(s0)) + (W(s2) − W(s1)), each with the variance of its length.
#[test]
fn increments_of_a_path_add_up_and_have_their_variance() {
    let shape = [4, 1, 32, 32];
    let mut noise = BrownianTreeNoise::new(11, 0..4);
    let mut draw = |from: f64, to: f64| {
        noise.increment(&shape, Device::Cpu, [from, to]).unwrap().to_kind(Kind::Double)
    };
    let mean = |x: Tensor| f64::try_from(x.mean(Kind::Double)).unwrap();
    for [s0, s1, s2] in [[0.0, 1e-4, 0.3], [0.01, 0.0101, 4.0], [2.0, 900.0, 1e5]] {
        let (first, second, whole) = (draw(s0, s1), draw(s1, s2), draw(s0, s2));
        let weights = [s1 - s0, s2 - s1].map(|length: f64| (length / (s2 - s0)).sqrt());
        let sum = &first * weights[0] + &second * weights[1];
        assert!(f64::try_from((sum - &whole).abs().max()).unwrap() < 1e-5, "{s0} {s1} {s2}");
        // 4096 draws: the standard error of a mean is 0.016, of a variance 0.022.
        for part in [&first, &second, &whole] {
            let (bias, variance) = (mean(part.copy()), mean(part.square()));
            assert!(bias.abs() < 0.08 && (variance - 1.0).abs() < 0.11, "{bias} {variance}");
        }
        let correlation = mean(&first * &second);
        assert!(correlation.abs() < 0.08, "disjoint increments are independent: {correlation}");
    }
    for snr in [[3.0, 1.0], [-1.0, 1.0], [1.0, f64::INFINITY], [f64::NAN, 1.0]] {
        let error = noise.increment(&shape, Device::Cpu, snr).unwrap_err().to_string();
        assert!(error.contains("expected an increase"), "{error}");
    }
    let error = noise.increment(&[3, 1, 2, 2], Device::Cpu, [0.0, 1.0]).unwrap_err().to_string();
    assert!(error.contains("noise for 3 images"), "{error}");
}

/// Rounded noise levels may coincide.
#[test]
fn a_step_of_no_length_adds_nothing() {
    let mut noise = BrownianTreeNoise::new(2, 0..2);
    let still = noise.increment(&[2, 1, 4, 4], Device::Cpu, [0.5, 0.5]).unwrap();
    assert_eq!(still.abs().max().double_value(&[]), 0.0);
}

/// Image i does not depend on the batch, and its first noise is that of PerImageNoise.
#[test]
fn paths_belong_to_images() {
    let level = |sigma: f64| NoiseLevel::from_sigma(sigma, 0.0);
    let snr = [5.0, 1.5].map(|s| level(s).alpha_cumprod / (1.0 - level(s).alpha_cumprod));
    let of = |images: std::ops::Range<u64>| {
        let rows = (images.end - images.start) as i64;
        let mut noise = BrownianTreeNoise::new(2, images);
        let first = noise.normal(&[rows, 1, 4, 4], Device::Cpu).unwrap();
        (first, noise.increment(&[rows, 1, 4, 4], Device::Cpu, snr).unwrap())
    };
    let (first, step) = of(0..4);
    assert_eq!(step.narrow(0, 2, 2), of(2..4).1);
    assert_ne!(step.get(0), step.get(1));
    let plain = PerImageNoise::new(2, 0..4).normal(&[4, 1, 4, 4], Device::Cpu).unwrap();
    assert_eq!(first, plain);
}
