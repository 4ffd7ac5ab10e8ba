//! What must hold for every schedule.

use inkdrop_schedule::{Schedule, ScheduleConfig, ScheduleError};
use ndarray::{Array1, array};
use proptest::prelude::*;

use crate::{close, configs};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn alpha_bar_falls_strictly(config in configs()) {
        let schedule = config.build().unwrap();
        prop_assert_eq!(schedule.num_timesteps(), config.num_timesteps());
        let zero = matches!(config, ScheduleConfig::ZeroTerminalSnr { .. });
        let mut last = 1.0;
        for (i, &bar) in schedule.alphas_cumprod().iter().enumerate() {
            let end = zero && i + 1 == schedule.num_timesteps();
            prop_assert!(bar < last && if end { bar == 0.0 } else { bar > 0.0 }, "{bar} after {last}");
            last = bar;
        }
    }

    #[test]
    fn snr_falls_strictly(config in configs()) {
        let schedule = config.build().unwrap();
        for ratio in [schedule.snr(), schedule.log_snr()] {
            prop_assert!(ratio.windows(2).into_iter().all(|pair| pair[1] < pair[0]));
        }
    }

    #[test]
    fn log_snr_is_the_log_of_snr(config in configs()) {
        let schedule = config.build().unwrap();
        for (&log, &snr) in schedule.log_snr().iter().zip(&schedule.snr()) {
            // To the digits that 1 - alpha bar has left at the first steps.
            prop_assert!(log == snr.ln() || (log - snr.ln()).abs() < 1e-10, "{log} {}", snr.ln());
        }
    }

    #[test]
    fn posterior_variance_lies_between_zero_and_beta(config in configs()) {
        let schedule = config.build().unwrap();
        prop_assert_eq!(schedule.posterior_variance()[0], 0.0);
        for (&variance, &beta) in schedule.posterior_variance().iter().zip(schedule.betas()).skip(1) {
            prop_assert!(variance > 0.0 && variance < beta);
        }
    }

    /// E[x_{t-1} | x_t, x_0] is right at the point where x_t has no noise: √ᾱ_prev·x0.
    #[test]
    fn posterior_mean_of_a_noiseless_x_is_noiseless(config in configs()) {
        let schedule = config.build().unwrap();
        // Entry 0 of the sprites schedule stands for another beta than its alpha bar.
        for i in 1..schedule.num_timesteps() {
            let x = schedule.alphas_cumprod()[i].sqrt();
            let mean = schedule.posterior_mean_coef1()[i] + schedule.posterior_mean_coef2()[i] * x;
            let expected = schedule.alphas_cumprod_prev()[i].sqrt();
            // The sprites tables come from f32 betas.
            prop_assert!((mean - expected).abs() < 1e-4 * expected, "{mean} {expected} at {i}");
        }
    }

    #[test]
    fn respacing_keeps_alpha_bar(config in configs(), stride in 1usize..30) {
        let schedule = config.build().unwrap();
        let kept: Vec<usize> = (0..schedule.num_timesteps()).step_by(stride).collect();
        let short = schedule.respaced(&kept).unwrap();
        for (i, &step) in kept.iter().enumerate() {
            let (ours, full) = (short.alphas_cumprod()[i], schedule.alphas_cumprod()[step]);
            // A beta near 1 holds the ratio to the step before only to 1e-16.
            let before = short.alphas_cumprod_prev()[i];
            prop_assert!((ours - full).abs() <= 1e-9 * full + 1e-15 * before);
        }
    }
}

#[test]
fn linear_at_1000_is_the_papers() {
    let schedule = ScheduleConfig::linear(1000).build().unwrap();
    close(schedule.betas()[0], 1e-4);
    close(schedule.betas()[999], 0.02);
    close(schedule.betas()[1], 1e-4 + (0.02 - 1e-4) / 999.0);
}

/// Two known ports divide integers here and get a schedule of zeros.
#[test]
fn cosine_divides_as_floats() {
    let schedule = ScheduleConfig::Cosine { steps: 1000 }.build().unwrap();
    let alpha_bar = |u: f64| ((u + 0.008) / 1.008 * std::f64::consts::FRAC_PI_2).cos().powi(2);
    close(schedule.betas()[500], 1.0 - alpha_bar(0.501) / alpha_bar(0.5));
    close(schedule.betas()[999], 0.999);
    // ᾱ(1/2) of the squared cosine is near a half.
    assert!((schedule.alphas_cumprod()[499] - 0.4938).abs() < 1e-3);
}

#[test]
fn sprites_numbers_are_the_notebooks() {
    let schedule = ScheduleConfig::SPRITES.build().unwrap();
    assert_eq!(schedule.num_timesteps(), 500);
    assert!((schedule.betas()[0] - 0.0001398).abs() < 1e-9); // entry 1 of 501
    assert!((schedule.betas()[499] - 0.02).abs() < 1e-9);
    // Entry 0 is part of the product although its own ᾱ is set to 1.
    let (first, second) = (1.0 - 1e-4, 1.0 - 0.0001398);
    assert!((schedule.alphas_cumprod()[0] - first * second).abs() < 1e-7);
}

/// PyTorch's `linspace(0, 1, T + 1)` counts in f32 from the nearer end.
#[test]
fn sprites_betas_are_torchs_linspace() {
    for steps in [1usize, 2, 7, 10, 500] {
        let config = ScheduleConfig::Sprites { steps, beta_start: 1e-4, beta_end: 0.02 };
        let schedule = config.build().unwrap();
        let (span, start) = ((0.02 - 1e-4) as f32, 1e-4f32);
        for i in 1..=steps {
            let from_start = 1.0 / steps as f32 * i as f32;
            let from_end = 1.0 - 1.0 / steps as f32 * (steps - i) as f32;
            let unit = if 2 * i < steps { from_start } else { from_end };
            let (ours, exact) = (schedule.betas()[i - 1], 1e-4 + 0.0199 * i as f64 / steps as f64);
            assert!((ours - exact).abs() < 1e-8, "{i} of {steps}");
            assert_eq!(ours, f64::from(span * unit + start), "{i} of {steps}");
        }
    }
}

/// The notebook stores ln ᾱ in f32, whose rounding counts where ln ᾱ is large.
#[test]
fn sprites_alpha_bars_are_the_notebooks_sums() {
    let schedule = ScheduleConfig::SPRITES.build().unwrap();
    let mut sum = f64::from(1.0 - 1e-4f32).ln();
    for (i, &beta) in schedule.betas().iter().enumerate() {
        sum += f64::from(1.0 - beta as f32).ln();
        let stored = if sum > -4.0 { sum } else { f64::from(sum as f32) };
        let ours = schedule.alphas_cumprod()[i];
        assert!((ours / stored.exp() - 1.0).abs() < 1e-12, "{ours} at {i}");
    }
    assert!(sum < -4.5, "some sums are rounded");
}

/// The notebook's mean (x − β/√(1−ᾱ)·ε)/√α, at every step and for any x and ε.
#[test]
fn sprites_posterior_mean_is_the_notebooks_formula() {
    let schedule = ScheduleConfig::SPRITES.build().unwrap();
    let (x, eps) = (0.7, -1.3);
    for i in 0..schedule.num_timesteps() {
        let (beta, bar) = (schedule.betas()[i], schedule.alphas_cumprod()[i]);
        let x0 = (x - (1.0 - bar).sqrt() * eps) / bar.sqrt();
        let ours = schedule.posterior_mean_coef1()[i] * x0 + schedule.posterior_mean_coef2()[i] * x;
        let notebook = (x - beta / (1.0 - bar).sqrt() * eps) / (1.0 - beta).sqrt();
        assert!((ours - notebook).abs() < 1e-10, "{ours} {notebook} at {i}");
    }
}

#[test]
fn hand_computed_tables_of_three_steps() {
    let schedule = Schedule::from_betas(array![0.1, 0.2, 0.5]).unwrap();
    let expect = |ours: &Array1<f64>, by_hand: [f64; 3]| {
        ours.iter().zip(by_hand).for_each(|(&a, b)| close(a, b));
    };
    expect(schedule.alphas_cumprod(), [0.9, 0.72, 0.36]);
    expect(schedule.alphas_cumprod_prev(), [1.0, 0.9, 0.72]);
    expect(&schedule.alphas_cumprod_next(), [0.72, 0.36, 0.0]);
    expect(schedule.posterior_variance(), [0.0, 0.2 * 0.1 / 0.28, 0.5 * 0.28 / 0.64]);
    let log = schedule.posterior_log_variance_clipped();
    close(log[0], log[1]);
    expect(&schedule.snr(), [9.0, 0.72 / 0.28, 0.5625]);
}

#[test]
fn derived_tables_are_functions_of_beta_and_alpha_bar() {
    let schedule = Schedule::from_betas(array![0.1, 0.2, 0.5]).unwrap();
    for (i, &bar) in schedule.alphas_cumprod().iter().enumerate() {
        close(schedule.alphas()[i], 1.0 - schedule.betas()[i]);
        close(schedule.sqrt_alphas_cumprod()[i].powi(2), bar);
        close(schedule.sqrt_one_minus_alphas_cumprod()[i].powi(2), 1.0 - bar);
        close(schedule.log_one_minus_alphas_cumprod()[i].exp(), 1.0 - bar);
        close(schedule.posterior_log_variance_clipped()[i].exp(), {
            schedule.posterior_variance()[i.max(1)]
        });
        // x0 from x and ε.
        let (x0, eps) = (0.3, -1.4);
        let x = bar.sqrt() * x0 + (1.0 - bar).sqrt() * eps;
        let (recip, recipm1) =
            (schedule.sqrt_recip_alphas_cumprod()[i], schedule.sqrt_recipm1_alphas_cumprod()[i]);
        assert!((recip * x - recipm1 * eps - x0).abs() < 1e-12);
        close(recip * recip - recipm1 * recipm1, 1.0);
    }
    // With one step there is no entry 1: its variance is β.
    let one = Schedule::from_betas(array![0.3]).unwrap();
    close(one.posterior_log_variance_clipped()[0], 0.3f64.ln());
}

#[test]
fn schedules_that_cannot_be_say_why() {
    assert_eq!(ScheduleConfig::Cosine { steps: 0 }.build(), Err(ScheduleError::NoSteps(0)));
    let error = Schedule::from_betas(array![0.1, 1.5]).unwrap_err();
    assert_eq!(error, ScheduleError::Beta { index: 1, value: 1.5 });
    assert!(error.to_string().contains("beta[1] = 1.5"));
    let error = Schedule::from_betas(Array1::from_elem(2000, 0.9)).unwrap_err();
    assert!(matches!(error, ScheduleError::AlphaBar { index: 323.., .. }), "{error}");
    assert!(matches!(
        Schedule::from_betas(array![0.1, 1e-17]),
        Err(ScheduleError::AlphaBar { index: 1, .. })
    ));
    assert!(Schedule::from_betas(array![0.1, f64::NAN]).is_err());
    assert!(ScheduleConfig::linear(10).build().is_err(), "needs betas up to 2");
}

#[test]
fn parts_that_cannot_be_say_why() {
    let parts = |betas: &[f64], bars: &[f64]| {
        Schedule::from_parts(betas.to_vec().into(), bars.to_vec().into()).unwrap_err()
    };
    assert_eq!(parts(&[], &[]), ScheduleError::NoSteps(0));
    let lengths = ScheduleError::Lengths { betas: 2, alphas_cumprod: 1 };
    assert_eq!(parts(&[0.1, 0.2], &[0.9]), lengths);
    assert_eq!(parts(&[0.1, 1.0], &[0.9, 0.0]), ScheduleError::Beta { index: 1, value: 1.0 });
    for bar in [0.9, 1.5, 0.0, f64::NAN] {
        let error = parts(&[0.1, 0.2], &[0.9, bar]);
        assert!(matches!(error, ScheduleError::AlphaBar { index: 1, .. }), "{error}");
    }
}

#[test]
fn respacing_refuses_steps_that_are_not_there() {
    let schedule = ScheduleConfig::Cosine { steps: 10 }.build().unwrap();
    assert!(schedule.respaced(&[]).is_err());
    assert!(schedule.respaced(&[3, 3]).is_err());
    assert!(schedule.respaced(&[5, 4]).is_err());
    assert!(schedule.respaced(&[0, 10]).is_err());
}
