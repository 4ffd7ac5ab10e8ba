//! Schedules that end in pure noise.

use inkdrop_schedule::{Schedule, ScheduleConfig, ScheduleError};
use ndarray::{Array1, array};
use proptest::prelude::*;

use crate::close;

fn zero(of: ScheduleConfig) -> ScheduleConfig {
    ScheduleConfig::ZeroTerminalSnr { of: Box::new(of) }
}

proptest! {
    #[test]
    fn the_first_step_stays_and_the_last_leaves_nothing(steps in 21usize..1500) {
        for config in [ScheduleConfig::linear(steps), ScheduleConfig::cosine(steps)] {
            let (before, after) = (config.build().unwrap(), zero(config).build().unwrap());
            prop_assert_eq!(after.alphas_cumprod()[0], before.alphas_cumprod()[0]);
            prop_assert_eq!(after.alphas_cumprod()[steps - 1], 0.0);
            prop_assert_eq!(after.betas()[steps - 1], 1.0);
        }
    }

    /// Differences of √ᾱ keep their proportions: that is what shifting and scaling do.
    #[test]
    fn the_curve_keeps_its_shape(steps in 21usize..1500) {
        let config = ScheduleConfig::linear(steps);
        let before = config.build().unwrap().sqrt_alphas_cumprod();
        let after = zero(config).build().unwrap().sqrt_alphas_cumprod();
        let scale = after[0] / (before[0] - before[steps - 1]);
        for i in 0..steps {
            let expected = (before[i] - before[steps - 1]) * scale;
            prop_assert!((after[i] - expected).abs() < 1e-12);
        }
    }
}

/// Lin et al. 2023, algorithm 1, in numpy; `rescale_zero_terminal_snr` of
/// diffusers 0.35 gives the same in f64 to 5e-13.
#[test]
fn stable_diffusions_schedule_rescaled_is_the_papers() {
    let scaled = ScheduleConfig::ScaledLinear { steps: 1000, beta_start: 0.00085, beta_end: 0.012 };
    let schedule = zero(scaled).build().unwrap();
    let betas =
        [0.0008500000000000174, 0.0009173335933718718, 0.005530567784482576, 0.751137004176492];
    let bars = [0.99915, 0.9982334461401825, 0.24101878275731575, 1.967888056621292e-7];
    for ((i, beta), bar) in [0, 1, 500, 998].into_iter().zip(betas).zip(bars) {
        assert!((schedule.betas()[i] - beta).abs() < 1e-12 * beta, "{beta} at {i}");
        assert!((schedule.alphas_cumprod()[i] - bar).abs() < 1e-10 * bar, "{bar} at {i}");
    }
}

fn tables(schedule: &Schedule) -> [(&'static str, Array1<f64>); 16] {
    [
        ("betas", schedule.betas().clone()),
        ("alphas", schedule.alphas()),
        ("alphas_cumprod", schedule.alphas_cumprod().clone()),
        ("prev", schedule.alphas_cumprod_prev().clone()),
        ("next", schedule.alphas_cumprod_next()),
        ("sqrt", schedule.sqrt_alphas_cumprod()),
        ("sqrt_one_minus", schedule.sqrt_one_minus_alphas_cumprod()),
        ("log_one_minus", schedule.log_one_minus_alphas_cumprod()),
        ("variance", schedule.posterior_variance().clone()),
        ("log_variance", schedule.posterior_log_variance_clipped()),
        ("coef1", schedule.posterior_mean_coef1().clone()),
        ("coef2", schedule.posterior_mean_coef2().clone()),
        ("snr", schedule.snr()),
        ("recip", schedule.sqrt_recip_alphas_cumprod()),
        ("recipm1", schedule.sqrt_recipm1_alphas_cumprod()),
        ("log_snr", schedule.log_snr()),
    ]
}

#[test]
fn only_what_divides_by_alpha_bar_is_infinite_at_the_end() {
    let short = zero(ScheduleConfig::cosine(10)).build().unwrap();
    let linear = zero(ScheduleConfig::linear(1000)).build().unwrap();
    let explicit = Schedule::from_betas(array![0.1, 1.0]).unwrap();
    let single = Schedule::from_betas(array![1.0]).unwrap();
    for schedule in [short, linear, explicit, single] {
        let last = schedule.num_timesteps() - 1;
        for (name, table) in tables(&schedule) {
            for (i, &value) in table.iter().enumerate() {
                let infinite = i == last && ["recip", "recipm1", "log_snr"].contains(&name);
                assert!(!value.is_nan() && value.is_finite() != infinite, "{name}[{i}] = {value}");
            }
        }
    }
}

/// With nothing of the data in x, the posterior mean is x0's share alone.
#[test]
fn the_last_posterior_does_not_look_at_x() {
    let schedule = Schedule::from_betas(array![0.1, 0.2, 1.0]).unwrap();
    assert_eq!(schedule.posterior_mean_coef2()[2], 0.0);
    close(schedule.posterior_mean_coef1()[2], 0.72f64.sqrt());
    close(schedule.posterior_variance()[2], 0.28);
}

#[test]
fn only_the_last_beta_may_be_one() {
    for betas in [array![1.0, 0.5], array![0.1, 1.0, 0.5], array![1.0, 1.0]] {
        assert!(matches!(Schedule::from_betas(betas), Err(ScheduleError::Beta { value: 1.0, .. })));
    }
    let above = f64::from_bits(1.0f64.to_bits() + 1);
    assert!(Schedule::from_betas(array![0.1, above]).is_err());
    // Nor may the product reach 0 without it.
    assert!(Schedule::from_betas(Array1::from_elem(400, 0.9)).is_err());
}

#[test]
fn respacing_keeps_the_zero_or_leaves_it_out() {
    let schedule = zero(ScheduleConfig::linear(1000)).build().unwrap();
    let with = schedule.respaced(&[0, 499, 999]).unwrap();
    assert_eq!((with.betas()[2], with.alphas_cumprod()[2]), (1.0, 0.0));
    close(with.alphas_cumprod()[1], schedule.alphas_cumprod()[499]);
    let without = schedule.respaced(&[0, 499, 998]).unwrap();
    assert!(without.alphas_cumprod()[2] > 0.0);
    assert_eq!(schedule.respaced(&[999]).unwrap().betas().to_vec(), [1.0]);
}

/// A β that rounds to 1 is no zero terminal.
#[test]
fn respacing_makes_no_zero_of_its_own() {
    let schedule = ScheduleConfig::Constant { steps: 200, beta: 0.5 }.build().unwrap();
    let error = schedule.respaced(&[0, 199]).unwrap_err();
    assert_eq!(error, ScheduleError::Beta { index: 1, value: 1.0 });
}

#[test]
fn what_cannot_end_in_zero_is_refused() {
    for (of, word) in [
        (zero(ScheduleConfig::cosine(10)), "another"),
        (ScheduleConfig::SPRITES, "sprites"),
        (ScheduleConfig::cosine(1), "single"),
    ] {
        let error = zero(of).build().unwrap_err();
        assert!(matches!(error, ScheduleError::ZeroTerminal(_)));
        assert!(error.to_string().contains(word), "{error}");
    }
    assert_eq!(zero(ScheduleConfig::cosine(0)).build(), Err(ScheduleError::NoSteps(0)));
    assert!(matches!(
        zero(ScheduleConfig::Constant { steps: 3, beta: 2.0 }).build(),
        Err(ScheduleError::Beta { index: 0, .. })
    ));
    // One that ends there already stays as it is.
    let betas = ScheduleConfig::Betas { betas: vec![0.1, 0.2, 1.0] };
    let (before, after) = (betas.build().unwrap(), zero(betas).build().unwrap());
    before.betas().iter().zip(after.betas()).for_each(|(&a, &b)| close(a, b));
}
