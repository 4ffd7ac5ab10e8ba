//! Samplers of distilled models, on exact end points of the probability flow.

use inkdrop_process::{Prediction, ProcessError};
use inkdrop_sampler::{Consistency, Denoiser, Sampler};
use inkdrop_schedule::{NoiseLevel, SamplingSchedule, SolverStep};
use inkdrop_torch::NoiseTape;
use inkdrop_torch::tch::Tensor;

use crate::support::{F64, largest, levels, schedule, silence};

const MEAN: f64 = 0.3;
const DEVIATION: f64 = 0.5;

/// Standard deviation of x0 + σ·ε.
fn spread(sigma: f64) -> f64 {
    DEVIATION.hypot(sigma)
}

/// A perfect consistency model of Gaussian data: the end of the probability flow at σ_min.
struct EndPoint(f64);

impl Denoiser for EndPoint {
    fn denoise(&self, x: &Tensor, step: &SolverStep) -> Result<Prediction, ProcessError> {
        let scale = spread(self.0) / spread(step.from.sigma());
        let end = (x / step.from.signal() - MEAN) * scale + MEAN;
        Prediction::from_x0(end, x, step)
    }
}

/// Every step is linear in x and in its noise: mean and variance of the result without sampling.
fn mean_and_spread(sampler: Sampler, model: &dyn Denoiser, path: &SamplingSchedule) -> (f64, f64) {
    let steps = path.len() as i64;
    let rows = steps + 2; // the mean, x alone, and each draw alone
    let from = path.start();
    let start = Tensor::full([rows, 1, 1, 1], MEAN * from.signal(), F64);
    let _ = start.get(1).g_add_scalar_(spread(from.sigma()) * from.signal());
    let draws = Tensor::cat(&[Tensor::zeros([steps, 2], F64), Tensor::eye(steps, F64)], 1);
    let mut noise = NoiseTape::new(draws.view([steps, rows, 1, 1, 1]));
    let out = sampler.sample(model, &schedule(), path, start, &mut noise).unwrap();
    let out: Vec<f64> =
        (out / path.steps()[path.len() - 1].to.signal()).view(-1).try_into().unwrap();
    let variance: f64 = out[1..].iter().map(|x| (x - out[0]).powi(2)).sum();
    (out[0], variance.sqrt())
}

/// Song et al. 2023: with a perfect model, every number of steps gives the data at σ_min.
#[test]
fn consistency_with_exact_end_points_gives_the_exact_distribution() {
    for sigma_min in [0.002, 0.3] {
        let sampler = Sampler::Consistency(Consistency { sigma_min, noise_scale: 1.0 });
        for inner in [&[][..], &[5.0], &[20.0, 4.0, 0.9, 0.4]] {
            let sigmas = [80.0].iter().chain(inner).copied().chain([sigma_min]);
            let (mean, std) = mean_and_spread(sampler, &EndPoint(sigma_min), &levels(sigmas));
            assert!((mean - MEAN).abs() < 1e-9, "{sigma_min} {inner:?}: mean {mean}");
            assert!((std - spread(sigma_min)).abs() < 1e-9, "{sigma_min} {inner:?}: {std}");
        }
    }
    // The noise of σ_min must not be added twice: without its subtraction the result is too wide.
    let path = levels([80.0, 0.6, 0.3]);
    let (_, std) = mean_and_spread(Sampler::Consistency(Consistency::LCM), &EndPoint(0.3), &path);
    assert!(std > 1.05 * spread(0.3), "{std}");
}

#[test]
fn lcm_is_consistency_sampling_with_a_prediction_free_of_noise() {
    let lcm: Sampler = "lcm".parse().unwrap();
    for inner in [&[][..], &[5.0], &[20.0, 4.0, 0.9]] {
        let mut all: Vec<NoiseLevel> =
            [80.0].iter().chain(inner).map(|&sigma| NoiseLevel::from_sigma(sigma, 0.0)).collect();
        all.push(NoiseLevel::NOISELESS);
        let path = SamplingSchedule::from_levels(&all).unwrap();
        let (mean, std) = mean_and_spread(lcm, &EndPoint(0.0), &path);
        assert!((mean - MEAN).abs() < 1e-9 && (std - DEVIATION).abs() < 1e-9, "{inner:?}: {std}");
    }
}

/// The Gaussian's exact flow from any level to any other, as x0 and ε of a DDIM step to s.
struct Trajectory {
    /// γ, which decides where the step leads.
    gamma: f64,
}

impl Denoiser for Trajectory {
    fn denoise(&self, x: &Tensor, step: &SolverStep) -> Result<Prediction, ProcessError> {
        let beyond = match step.to.is_noiseless() {
            true => step.to,
            false => {
                let kept = (1.0 - self.gamma) as f32 * step.to.timestep as f32;
                schedule().level_at_timestep(f64::from(kept.floor()))
            }
        };
        let scaled = x / step.from.signal() - MEAN;
        let end = scaled * (spread(beyond.sigma()) / spread(step.from.sigma())) + MEAN;
        // DDIM leads from x to `end` at s with this ε.
        let (from, to) = (step.from.sigma(), beyond.sigma());
        let eps = (x / step.from.signal() - end) / (from - to);
        let x0 = x / step.from.signal() - &eps * from;
        Ok(Prediction { x0, eps, log_variance: Tensor::from(0.0), mean: None })
    }
}

/// Zheng et al. 2024: a perfect trajectory model gives the data for every γ.
#[test]
fn tcd_with_exact_trajectories_gives_the_exact_distribution() {
    let mut all: Vec<NoiseLevel> = [999, 700, 400, 100].map(|t| schedule().level(t)).to_vec();
    all.push(NoiseLevel::NOISELESS);
    let path = SamplingSchedule::from_levels(&all).unwrap();
    for gamma in [0.0, 0.3, 0.8, 1.0] {
        let sampler = Sampler::Tcd { gamma };
        let (mean, std) = mean_and_spread(sampler, &Trajectory { gamma }, &path);
        assert!((mean - MEAN).abs() < 1e-6 && (std - DEVIATION).abs() < 1e-6, "{gamma}: {std}");
    }
}

#[test]
fn tcd_without_stochasticity_is_ddim() {
    let model = crate::support::Mixture::two();
    let path = levels([40.0, 9.0, 2.0, 0.7, 0.1]);
    let x = crate::support::normal(3, &[4, 1, 2, 2]);
    let run = |sampler: Sampler| {
        sampler.sample(&model, &schedule(), &path, x.copy(), &mut silence()).unwrap()
    };
    assert_eq!(run(Sampler::Tcd { gamma: 0.0 }), run(Sampler::DDIM));
}

/// With continuous levels, σ is the time of TCD.
#[test]
fn tcd_goes_to_a_share_of_sigma_without_timesteps() {
    let process = inkdrop_schedule::Preconditioning::Edm { sigma_data: 0.5 };
    let path = SamplingSchedule::from_levels(&[8.0, 2.0].map(|s| process.level(s))).unwrap();
    let model = crate::support::Mixture::gaussian(MEAN, DEVIATION);
    let x = crate::support::normal(3, &[1, 1, 2, 2]);
    let mut zeros = NoiseTape::new(Tensor::zeros([1, 1, 1, 2, 2], F64));
    let sampler = Sampler::Tcd { gamma: 0.25 };
    let ours = sampler.sample(&model, &process, &path, x.copy(), &mut zeros).unwrap();
    let short = SamplingSchedule::from_levels(&[8.0, 1.5].map(|s| process.level(s))).unwrap();
    let ddim = Sampler::DDIM.sample(&model, &process, &short, x, &mut silence()).unwrap();
    let ratio = process.level(2.0).signal() / process.level(1.5).signal();
    assert!(largest(&(ours - ddim * ratio)) < 1e-9);
}
