//! Laws of noise levels, and of the fractional timesteps between those of a process.

use inkdrop_schedule::{NoiseLevel, Schedule, ScheduleConfig};
use ndarray::array;
use proptest::prelude::*;

use crate::{close, configs};

fn level(alpha_cumprod: f64) -> NoiseLevel {
    NoiseLevel { alpha_cumprod, timestep: 3.5 }
}

fn linear() -> Schedule {
    ScheduleConfig::linear(1000).build().unwrap()
}

proptest! {
    /// x = √ᾱ·x0 + √(1−ᾱ)·ε has unit variance, σ is noise over signal, and λ = ½·ln(ᾱ/(1−ᾱ)).
    #[test]
    fn signal_noise_sigma_and_lambda_follow_from_alpha_bar(bar in 1e-6f64..0.999) {
        let level = level(bar);
        close(level.signal() * level.signal(), bar);
        close(level.signal().powi(2) + level.noise().powi(2), 1.0);
        close(level.sigma(), level.noise() / level.signal());
        prop_assert!((level.lambda() - 0.5 * (bar / (1.0 - bar)).ln()).abs() < 1e-12);
    }

    #[test]
    fn sigma_determines_the_level(bar in 1e-6f64..0.999, timestep in -1.0f64..1000.0) {
        let back = NoiseLevel::from_sigma(level(bar).sigma(), timestep);
        close(back.alpha_cumprod, bar);
        prop_assert_eq!(back.timestep, timestep);
    }

    #[test]
    fn levels_of_a_process_are_its_tables(config in configs(), share in 0.0f64..1.0) {
        let schedule = config.build().unwrap();
        let i = (share * schedule.num_timesteps() as f64) as usize;
        let level = schedule.level(i);
        prop_assert_eq!(level.alpha_cumprod, schedule.alphas_cumprod()[i]);
        prop_assert_eq!(level.timestep, i as f64);
        prop_assert_eq!(schedule.level_at_timestep(i as f64), level);
        let log_snr = schedule.log_snr()[i];
        prop_assert!(2.0 * level.lambda() == log_snr || (2.0 * level.lambda() - log_snr).abs() < 1e-9);
    }

    /// Between two timesteps σ is a straight line over t, and t is one over ln σ.
    #[test]
    fn between_timesteps_sigma_and_its_logarithm_are_straight(i in 0usize..999, part in 0.01f64..0.99) {
        let schedule = linear();
        let [a, b] = [i, i + 1].map(|i| schedule.level(i).sigma());
        let timestep = i as f64 + part;
        let level = schedule.level_at_timestep(timestep);
        prop_assert_eq!(level.timestep, timestep);
        close(level.sigma(), (1.0 - part) * a + part * b);

        let sigma = a.powf(1.0 - part) * b.powf(part);
        let level = schedule.level_at_sigma(sigma);
        close(level.sigma(), sigma);
        prop_assert!((level.timestep - timestep).abs() < 1e-6, "{} {timestep}", level.timestep);
    }

    #[test]
    fn the_timestep_of_a_timesteps_sigma_is_its_own(i in 0usize..1000) {
        let schedule = linear();
        let found = schedule.timestep_of_sigma(schedule.level(i).sigma());
        prop_assert!((found - i as f64).abs() < 1e-6, "{found} {i}");
    }
}

#[test]
fn outside_the_process_the_nearer_end_holds() {
    let schedule = linear();
    let (low, high) = (schedule.level(0), schedule.level(999));
    for timestep in [-7.0, -0.25, 0.0] {
        assert_eq!(schedule.level_at_timestep(timestep), low);
    }
    for timestep in [999.0, 999.5, 5e9] {
        assert_eq!(schedule.level_at_timestep(timestep), high);
    }
    for (sigma, timestep) in [(low.sigma() / 2.0, 0.0), (high.sigma() * 2.0, 999.0)] {
        let level = schedule.level_at_sigma(sigma);
        assert!((level.sigma() / sigma - 1.0).abs() < 1e-9, "{level:?}");
        assert_eq!(level.timestep, timestep);
    }
}

/// ln σ of pure noise is infinite: a σ below it belongs to the last timestep with a signal.
#[test]
fn before_pure_noise_the_last_timestep_with_a_signal_holds() {
    let schedule = Schedule::from_betas(array![0.1, 0.2, 1.0]).unwrap();
    let last = schedule.level(1).sigma();
    assert_eq!(schedule.timestep_of_sigma(last * 1.5), 1.0);
    assert_eq!(schedule.timestep_of_sigma(f64::INFINITY), 2.0);
    assert_eq!(schedule.level(2).sigma(), f64::INFINITY);
    assert_eq!(schedule.level(2).lambda(), f64::NEG_INFINITY);
}

#[test]
fn only_clean_data_is_noiseless() {
    assert!(NoiseLevel::NOISELESS.is_noiseless());
    assert_eq!((NoiseLevel::NOISELESS.noise(), NoiseLevel::NOISELESS.timestep), (0.0, -1.0));
    assert_eq!(NoiseLevel::NOISELESS.lambda(), f64::INFINITY);
    for bar in [0.0, 0.5, 1.0 - f64::EPSILON] {
        assert!(!level(bar).is_noiseless(), "{bar}");
    }
}

#[test]
fn a_minimum_signal_raises_only_what_is_below() {
    assert_eq!(NoiseLevel::MIN_ALPHA_CUMPROD, 2f64.powi(-24));
    for (bar, raised) in [(0.0, 2f64.powi(-24)), (1e-9, 2f64.powi(-24)), (1e-7, 1e-7), (1.0, 1.0)] {
        assert_eq!(level(bar).with_min_signal(), level(raised));
    }
}
