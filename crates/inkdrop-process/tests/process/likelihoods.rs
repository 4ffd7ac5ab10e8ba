//! Laws of the variational bound.

use inkdrop_nn::Conditioning;
use inkdrop_process::{PredictionType, TimeInput, Variance, bits_per_dim, prior_bits};
use inkdrop_schedule::ScheduleConfig;
use inkdrop_torch::PerImageNoise;
use inkdrop_torch::tch::{Kind, Tensor};

use crate::support::{F64, Oracle, largest, process, typed};

/// Data in 256 levels, N(0.3, 0.25) as the oracle thinks.
fn data() -> Tensor {
    inkdrop_torch::tch::manual_seed(7);
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
    let process = typed(PredictionType::Epsilon, Variance::FixedLarge);
    let bar = process.schedule().alphas_cumprod()[99];
    let x0 = Tensor::full([3, 1, 2, 2], -0.7, F64);
    let expected = 0.5 * (bar * 0.49 + (1.0 - bar) - 1.0 - (1.0 - bar).ln()) / 2f64.ln();
    assert!(largest(&(prior_bits(&process, &x0).unwrap() - expected)) < 1e-12);
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
