//! Laws of the variational bound.

use inkdrop_nn::Conditioning;
use inkdrop_process::{
    BoundTerms, PredictionType, Process, ProcessConfig, TimeInput, Variance, bits_per_dim,
    prior_bits,
};
use inkdrop_schedule::ScheduleConfig;
use inkdrop_torch::tch::{Device, Kind, Tensor};
use inkdrop_torch::{NoiseTape, PerImageNoise};

use crate::support::{F64, Oracle, largest, process, typed};

/// Data in 256 levels, N(0.3, 0.25) as the oracle thinks.
fn data() -> Tensor {
    let _held = inkdrop_torch::DefaultGenerator::seeded(7);
    let x = (Tensor::randn([2, 1, 32, 32], F64) * 0.5 + 0.3).clamp(-1.0, 1.0);
    ((x + 1.0) * 127.5).round() / 127.5 - 1.0
}

/// No model can do better than the entropy of the data; the best network comes near.
#[test]
fn the_best_network_takes_about_the_entropy_of_the_data() {
    let process = process(TimeInput::Index, ScheduleConfig::linear(1000));
    let oracle = Oracle::of(&process);
    let x0 = data();
    let mut noise = PerImageNoise::new(1, 0..2);
    let bits = bits_per_dim(&process, &oracle, &x0, &Conditioning::none(), &mut noise).unwrap();
    // Differential entropy of N(·, 0.25) over bins of 2/255, without what is clamped.
    let entropy = 0.5 * (2.0 * std::f64::consts::PI * std::f64::consts::E * 0.25f64).log2()
        - (2.0f64 / 255.0).log2();
    for total in Vec::<f64>::try_from(bits.total.to_kind(Kind::Double)).unwrap() {
        assert!((entropy - 0.8..entropy + 0.4).contains(&total), "{total} beside {entropy}");
    }
    assert_eq!(bits.bound.size(), [2, 1000]);
    let sum = bits.bound.sum_dim_intlist([1i64].as_slice(), false, Kind::Double) + &bits.prior;
    assert!(largest(&(sum - &bits.total)) < 1e-9);
}

#[test]
fn a_worse_network_takes_more_bits() {
    let process = typed(PredictionType::Velocity, Variance::FixedLarge);
    let total = |error| {
        let oracle = Oracle { error, ..Oracle::of(&process) };
        let mut noise = PerImageNoise::new(1, 0..2);
        let bits = bits_per_dim(&process, &oracle, &data(), &Conditioning::none(), &mut noise);
        f64::try_from(bits.unwrap().total.mean(Kind::Double)).unwrap()
    };
    let totals = [0.0, 0.1, 0.3].map(total);
    assert!(totals[0] < totals[1] && totals[1] < totals[2], "{totals:?}");
}

/// The prior term alone, in closed form.
#[test]
fn the_prior_is_the_divergence_from_the_normal() {
    // The second leaves much of the data in x_T.
    let short = ScheduleConfig::Constant { steps: 5, beta: 0.1 };
    for schedule in [ScheduleConfig::linear(100), short] {
        let process = process(TimeInput::Index, schedule);
        let bar = process.schedule().alphas_cumprod()[process.schedule().num_timesteps() - 1];
        let x0 = Tensor::full([3, 1, 2, 2], -0.7, F64);
        let expected = 0.5 * (bar * 0.49 + (1.0 - bar) - 1.0 - (1.0 - bar).ln()) / 2f64.ln();
        assert!(largest(&(prior_bits(&process, &x0).unwrap() - expected)) < 1e-12);
    }
}

/// Every bin's probability together is 1, also where the ends reach to infinity.
#[test]
fn the_pixel_likelihood_is_a_distribution() {
    // With one step, x_1 says almost nothing and the only term is the pixels'.
    let process = process(TimeInput::Index, ScheduleConfig::Constant { steps: 1, beta: 0.3 });
    let oracle = Oracle::of(&process);
    let levels = Tensor::arange(256, F64) / 127.5 - 1.0;
    let mut sum = 0.0;
    for level in Vec::<f64>::try_from(levels).unwrap() {
        let x0 = Tensor::full([1, 1, 1, 1], level, F64);
        // x is held fixed: the noise makes up for x0.
        let x = 0.2;
        let bar: f64 = 0.7;
        let eps = (x - bar.sqrt() * level) / (1.0 - bar).sqrt();
        let mut tape = inkdrop_torch::NoiseTape::new(Tensor::full([1, 1, 1, 1, 1], eps, F64));
        let bits = bits_per_dim(&process, &oracle, &x0, &Conditioning::none(), &mut tape).unwrap();
        sum += 2f64.powf(-f64::try_from(bits.bound.get(0).get(0)).unwrap());
    }
    assert!((sum - 1.0).abs() < 1e-6, "{sum}");
}

/// KL(N(mean1, variance1) ‖ N(mean2, variance2)) in bits, by the trapezoidal rule.
fn divergence((mean1, variance1): (f64, f64), (mean2, variance2): (f64, f64)) -> f64 {
    let ln = |x: f64, mean: f64, variance: f64| {
        -0.5 * ((x - mean).powi(2) / variance + (std::f64::consts::TAU * variance).ln())
    };
    let (deviation, points) = (variance1.sqrt(), 300);
    let step = 18.0 * deviation / f64::from(points);
    let at = |i: i32| {
        let x = mean1 + f64::from(i - points / 2) * step;
        let p = ln(x, mean1, variance1);
        p.exp() * (p - ln(x, mean2, variance2)) * step
    };
    (0..=points).map(at).sum::<f64>() / 2f64.ln()
}

/// −log2 of the mass of N(mean, variance) in the bin of a pixel, by the error function.
fn pixel_bits(pixel: f64, mean: f64, variance: f64) -> f64 {
    let cdf = |x: f64| {
        let z = (x - mean) / (2.0 * variance).sqrt();
        0.5 * (1.0 + f64::try_from(Tensor::from(z).erf()).unwrap())
    };
    // Bits are bounded: no bin has less than 1e-12.
    -(cdf(pixel + 1.0 / 255.0) - cdf(pixel - 1.0 / 255.0)).max(1e-12).log2()
}

fn check_terms(variance: Variance, clip: bool, error: f64) {
    let full = typed(PredictionType::Epsilon, variance);
    let config = ProcessConfig { clip, ..full.config().clone() };
    let process = Process::new(&config, Device::Cpu).unwrap();
    let learned = variance.is_learned().then_some(0.3);
    let oracle = Oracle { error, variance: learned, ..Oracle::of(&process) };
    let pixels = [-0.4, 0.2];
    let x0 = Tensor::from_slice(&pixels).view([2, 1, 1, 1]);
    let _held = inkdrop_torch::DefaultGenerator::seeded(3);
    let draws = Tensor::randn([100, 2, 1, 1, 1], F64);
    let mut tape = NoiseTape::new(draws.shallow_clone());
    let none = Conditioning::none();
    let bits = bits_per_dim(&process, &oracle, &x0, &none, &mut tape).unwrap();
    let schedule = process.schedule();
    for (row, t) in (0..2i64).flat_map(|row| (0..100i64).map(move |t| (row, t))) {
        let (column, i) = (99 - t, t as usize);
        let (pixel, bar) = (pixels[row as usize], schedule.alphas_cumprod()[i]);
        let eps = draws.double_value(&[column, row, 0, 0, 0]);
        let x = bar.sqrt() * pixel + (1.0 - bar).sqrt() * eps;
        let predicted = oracle.x0(&Tensor::from(x), &Tensor::from(bar)).double_value(&[]);
        let predicted = if clip { predicted.clamp(-1.0, 1.0) } else { predicted };
        let noise = (x - bar.sqrt() * predicted) / (1.0 - bar).sqrt();
        // At t = 0 the variances are those of t = 1.
        let small = schedule.posterior_variance()[i.max(1)];
        let beta = schedule.betas()[i];
        let large = if i == 0 { small } else { beta };
        let of_model = match variance {
            Variance::FixedSmall => small,
            Variance::FixedLarge => large,
            _ => (0.65 * beta.ln() + 0.35 * small.ln()).exp(),
        };
        let mean = |x0: f64| {
            schedule.posterior_mean_coef1()[i] * x0 + schedule.posterior_mean_coef2()[i] * x
        };
        let expected = match i {
            0 => pixel_bits(pixel, mean(predicted), of_model),
            _ => divergence((mean(pixel), small), (mean(predicted), of_model)),
        };
        let close = |ours: &Tensor, expected: f64, bound: f64| {
            let ours = ours.double_value(&[row, column]);
            let near = (ours - expected).abs() < bound * expected.abs().max(1e-3);
            assert!(near, "{variance:?}, t = {t}: {ours} is not {expected}");
        };
        // The pixels' cumulative distribution is an approximation.
        close(&bits.bound, expected, if i == 0 { 2e-2 } else { 1e-6 });
        close(&bits.x0_mse, (predicted - pixel).powi(2), 1e-6);
        close(&bits.eps_mse, (noise - eps).powi(2), 1e-6);
    }
}

/// Every term of the bound against numerical integration, and the errors of x0 and ε.
#[test]
fn terms_of_the_bound_are_divergences_of_gaussians() {
    for variance in [Variance::FixedSmall, Variance::FixedLarge, Variance::LearnedRange] {
        check_terms(variance, false, 0.02);
    }
    check_terms(Variance::FixedLarge, true, 0.9);
}

#[test]
fn terms_go_down_the_timesteps_and_end_with_an_error() {
    let process = typed(PredictionType::Epsilon, Variance::FixedLarge);
    let (oracle, none) = (Oracle::of(&process), Conditioning::none());
    let x0 = Tensor::zeros([1, 1, 1, 1], F64);
    let mut tape = NoiseTape::new(Tensor::zeros([3, 1, 1, 1, 1], F64));
    let terms = BoundTerms::new(&process, &oracle, &x0, &none, &mut tape).unwrap();
    let indices: Vec<Option<usize>> = terms.map(|term| term.ok().map(|term| term.index)).collect();
    assert_eq!(indices, [Some(99), Some(98), Some(97), None]);
}
