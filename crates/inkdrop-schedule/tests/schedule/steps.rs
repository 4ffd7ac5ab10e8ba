//! Laws of solver steps and of sampling schedules.

use inkdrop_schedule::{NoiseLevel, SamplingSchedule, Schedule, ScheduleConfig, ScheduleError};
use inkdrop_schedule::{SolverStep, TimestepSpacing, sigmas};
use ndarray::array;
use proptest::prelude::*;

use crate::{close, configs};

fn level(alpha_cumprod: f64) -> NoiseLevel {
    NoiseLevel { alpha_cumprod, timestep: 5.0 }
}

/// Relative to the larger of b and `scale`, for differences of numbers near 1.
fn near(a: f64, b: f64, scale: f64) {
    assert!((a - b).abs() <= 1e-9 * b.abs().max(scale), "{a} is not {b}");
}

/// Bayes' rule for two Gaussians, by their precisions: q(x_to | x0) = N(√ᾱ_to·x0, 1 − ᾱ_to) times
/// q(x_from | x_to) = N(√(1−β)·x_to, β). Returns the coefficients of x0 and x and the variance.
fn posterior(beta: f64, end: f64) -> (f64, f64, f64) {
    let variance = 1.0 / (1.0 / (1.0 - end) + (1.0 - beta) / beta);
    let coef_x0 = variance * end.sqrt() / (1.0 - end);
    (coef_x0, variance * (1.0 - beta).sqrt() / beta, variance)
}

fn check_posterior(step: SolverStep, beta: f64, end: f64) {
    let (coef_x0, coef_x, variance) = posterior(beta, end);
    close(step.beta(), beta);
    let ours = step.posterior_mean_coefs();
    near(ours.0, coef_x0, 1e-3);
    near(ours.1, coef_x, 1e-3);
    near(step.posterior_variance(), variance, 1e-3);
}

proptest! {
    #[test]
    fn the_posterior_of_a_step_is_bayes(end in 0.01f64..0.99, share in 0.01f64..0.99, other in 0.1f64..0.9) {
        let bar = end * share;
        check_posterior(SolverStep::new(level(bar), level(end)), 1.0 - share, end);
        // With a β of its own the posterior ends at ᾱ/(1 − β), wherever the solver goes.
        let own = SolverStep::with_beta(level(bar), level(other), 1.0 - share);
        check_posterior(own, 1.0 - share, end);
        prop_assert_eq!((own.from, own.to), (level(bar), level(other)));
    }

    #[test]
    fn posterior_tables_are_bayes(config in configs(), share in 0.0f64..1.0) {
        let schedule = config.build().unwrap();
        let i = (share * schedule.num_timesteps() as f64) as usize;
        // The sprites tables come from f32 betas, and entry 0 has no noise before it.
        if i > 0 && !matches!(config, ScheduleConfig::Sprites { .. }) {
            let (coef_x0, coef_x, variance) =
                posterior(schedule.betas()[i], schedule.alphas_cumprod_prev()[i]);
            near(schedule.posterior_mean_coef1()[i], coef_x0, 1e-3);
            near(schedule.posterior_mean_coef2()[i], coef_x, 1e-3);
            near(schedule.posterior_variance()[i], variance, 1e-3);
        }
    }

    /// The steps of all timesteps have the tables of the process, also where ᾱ is no product of β.
    #[test]
    fn steps_of_all_timesteps_have_the_tables_of_the_process(config in configs()) {
        let schedule = config.build().unwrap();
        let all: Vec<usize> = (0..schedule.num_timesteps()).collect();
        let sampling = SamplingSchedule::from_timesteps(&schedule, &all).unwrap();
        prop_assert_eq!(sampling.len(), schedule.num_timesteps());
        let sprites = matches!(config, ScheduleConfig::Sprites { .. });
        for (i, step) in sampling.steps().iter().rev().enumerate() {
            close(step.beta(), schedule.betas()[i]);
            let (coef_x0, coef_x) = step.posterior_mean_coefs();
            near(coef_x0, schedule.posterior_mean_coef1()[i], 1e-3);
            near(coef_x, schedule.posterior_mean_coef2()[i], 1e-3);
            let scale = if sprites { 100.0 } else { 1e-3 };
            near(step.posterior_variance(), schedule.posterior_variance()[i], scale);
        }
    }

    /// Down the timesteps to clean data; adjacent ones keep the process's β.
    #[test]
    fn steps_go_down_the_timesteps_to_clean_data(steps in 1usize..300, picks in prop::collection::btree_set(0usize..300, 1..40)) {
        let schedule = ScheduleConfig::Sprites { steps, beta_start: 1e-4, beta_end: 0.02 }.build().unwrap();
        let timesteps: Vec<usize> = picks.into_iter().filter(|&pick| pick < steps).collect();
        prop_assume!(!timesteps.is_empty());
        let sampling = SamplingSchedule::from_timesteps(&schedule, &timesteps).unwrap();
        prop_assert_eq!(sampling.start(), schedule.level(timesteps[timesteps.len() - 1]));
        for (position, step) in sampling.steps().iter().rev().enumerate() {
            let before = position.checked_sub(1).map(|before| timesteps[before]);
            let to = before.map_or(NoiseLevel::NOISELESS, |before| schedule.level(before));
            prop_assert_eq!((step.from, step.to), (schedule.level(timesteps[position]), to));
            let adjacent = before.map_or(0, |before| before + 1) == timesteps[position];
            let ratio = 1.0 - step.from.alpha_cumprod / to.alpha_cumprod;
            prop_assert_eq!(step.beta(), if adjacent { schedule.betas()[timesteps[position]] } else { ratio });
        }
    }

    #[test]
    fn steps_of_sigmas_go_through_them_to_clean_data(n in 1usize..50, rho in 1.0f64..9.0) {
        let schedule = ScheduleConfig::linear(1000).build().unwrap();
        let grid = sigmas::karras(n, 0.02, 50.0, rho).unwrap();
        let sampling = SamplingSchedule::from_sigmas(&schedule, grid.iter().copied()).unwrap();
        prop_assert_eq!(sampling.len(), n);
        for (i, step) in sampling.steps().iter().enumerate() {
            prop_assert_eq!(step.from, schedule.level_at_sigma(grid[i]));
            let to = grid.get(i + 1).map_or(NoiseLevel::NOISELESS, |&sigma| schedule.level_at_sigma(sigma));
            prop_assert_eq!(step.to, to);
        }
    }
}

#[test]
fn a_step_to_clean_data_ends_at_x0() {
    for step in [
        SolverStep::new(level(0.3), NoiseLevel::NOISELESS),
        SolverStep::with_beta(level(0.3), NoiseLevel::NOISELESS, 0.7),
    ] {
        let (coef_x0, coef_x) = step.posterior_mean_coefs();
        close(coef_x0, 1.0);
        close(coef_x, 0.0);
        assert_eq!(step.posterior_variance(), 0.0);
    }
    // Even where its own β is not 1 − ᾱ.
    let sprites = SolverStep::with_beta(level(0.3), NoiseLevel::NOISELESS, 0.2);
    assert_eq!(sprites.posterior_variance(), 0.0);
}

#[test]
fn a_step_from_pure_noise_ends_at_the_forward_process() {
    let schedule = Schedule::from_betas(array![0.1, 0.2, 1.0]).unwrap();
    let step = SamplingSchedule::from_timesteps(&schedule, &[0, 1, 2]).unwrap().steps()[0];
    assert_eq!((step.beta(), step.posterior_mean_coefs().1), (1.0, 0.0));
    close(step.posterior_mean_coefs().0, 0.72f64.sqrt());
    close(step.posterior_variance(), 0.28);
}

#[test]
fn levels_are_joined_by_steps() {
    let levels = [0.1, 0.1, 0.5, 1.0].map(level);
    let sampling = SamplingSchedule::from_levels(&levels).unwrap();
    let steps: Vec<SolverStep> =
        levels.windows(2).map(|pair| SolverStep::new(pair[0], pair[1])).collect();
    assert_eq!(sampling.steps(), steps);
    assert_eq!(SamplingSchedule::from_steps(steps), Ok(sampling));
}

#[test]
fn schedules_that_cannot_be_say_why() {
    let of = |bars: &[f64]| {
        SamplingSchedule::from_levels(&bars.iter().map(|&bar| level(bar)).collect::<Vec<_>>())
            .unwrap_err()
    };
    for too_few in [&[][..], &[0.5][..]] {
        assert!(matches!(of(too_few), ScheduleError::StepCount { requested: 0, .. }));
    }
    assert_eq!(of(&[0.1, 0.5, 0.4, 1.0]), ScheduleError::NoiseRises { step: 1 });
    for outside in [[-0.1, 0.5], [1.1, 1.2], [f64::NAN, 0.5], [0.5, f64::NAN]] {
        assert_eq!(of(&outside), ScheduleError::NoiseRises { step: 0 }, "{outside:?}");
    }
    let schedule = ScheduleConfig::cosine(10).build().unwrap();
    for timesteps in [&[][..], &[3, 3][..], &[0, 10][..]] {
        assert!(SamplingSchedule::from_timesteps(&schedule, timesteps).is_err(), "{timesteps:?}");
    }
    assert!(SamplingSchedule::from_sigmas(&schedule, [1.0, 2.0]).is_err());
}

#[test]
fn the_last_steps_are_the_end_of_the_schedule() {
    let schedule = ScheduleConfig::cosine(10).build().unwrap();
    let timesteps = TimestepSpacing::All.timesteps(10).unwrap();
    let all = SamplingSchedule::from_timesteps(&schedule, &timesteps).unwrap();
    for count in 1..=10 {
        let last = all.last_steps(count).unwrap();
        assert_eq!(last.len(), count);
        assert_eq!(last.steps(), &all.steps()[10 - count..]);
        assert_eq!(last.start(), schedule.level(count - 1));
    }
    assert_eq!(all.last_steps(10), Some(all.clone()));
    assert_eq!((all.last_steps(0), all.last_steps(11)), (None, None));
}

#[test]
fn a_minimum_signal_changes_only_steps_from_pure_noise() {
    let (least, other) = (NoiseLevel::MIN_ALPHA_CUMPROD, level(0.5));
    let steps = [(0.0, 0.0), (0.0, 0.3), (1e-9, 0.3), (0.3, 0.5)]
        .map(|(from, to)| SolverStep::new(level(from), level(to)));
    let own = SolverStep::with_beta(other, NoiseLevel::NOISELESS, 0.2);
    let sampling = SamplingSchedule::from_steps([&steps[..], &[own]].concat()).unwrap();
    let raised = sampling.with_min_signal();
    let expected = [(least, least), (least, 0.3)].map(|(from, to)| (level(from), level(to)));
    for (step, expected) in raised.steps().iter().zip(expected) {
        assert_eq!((step.from, step.to), expected);
    }
    assert_eq!(raised.steps()[2..], sampling.steps()[2..]);
}
