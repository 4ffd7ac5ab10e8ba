//! Schedules that are fitted to a denoiser.

use inkdrop_sampler::{Sampler, SamplingRun, ScheduleFit, ddim, total_distance};
use inkdrop_schedule::{LevelSpacing, NoiseLevel, SamplingSchedule};
use inkdrop_torch::tch::Tensor;

use crate::support::{Mixture, normal, schedule, silence};

fn fine(steps: usize) -> SamplingSchedule {
    LevelSpacing::Karras { steps, rho: 7.0 }.sampling_schedule(&schedule()).unwrap()
}

fn to_the_end(levels: Vec<NoiseLevel>) -> SamplingSchedule {
    let levels: Vec<_> = levels.into_iter().chain([NoiseLevel::NOISELESS]).collect();
    SamplingSchedule::from_levels(&levels).unwrap()
}

/// Mean distance of the ends of DDIM from those of DDIM in 300 steps.
fn error(data: &Mixture, schedule: &SamplingSchedule, x: &Tensor) -> f64 {
    let end = |schedule| ddim(data, schedule, x.shallow_clone(), 0.0, &mut silence()).unwrap();
    f64::try_from((end(schedule) - end(&fine(300))).abs().mean(inkdrop_torch::tch::Kind::Double))
        .unwrap()
}

#[test]
fn a_fitted_schedule_is_better_than_the_usual_ones_on_other_noise() {
    let (data, grid) = (Mixture::two(), fine(80));
    let mut fit = ScheduleFit::new(&grid);
    for seed in 0..2 {
        fit.add(&data, normal(seed, &[64, 1, 2, 2])).unwrap();
    }
    let unseen = normal(99, &[256, 1, 2, 2]);
    for steps in [4, 5, 6, 8] {
        let fitted = error(&data, &to_the_end(fit.levels(steps).unwrap()), &unseen);
        for name in ["karras", "exponential", "trailing"] {
            let spacing: LevelSpacing = format!("{name}{steps}").parse().unwrap();
            let usual = spacing.sampling_schedule(&schedule()).unwrap();
            let usual = error(&data, &usual, &unseen);
            assert!(fitted < usual, "{steps} steps: {fitted} fitted, {usual} {name}");
        }
    }
}

#[test]
fn levels_are_those_of_the_fine_schedule_and_all_of_them_with_as_many_steps() {
    let (data, grid) = (Mixture::two(), fine(12));
    let mut fit = ScheduleFit::new(&grid);
    fit.add(&data, normal(1, &[8, 1, 2, 2])).unwrap();
    let all: Vec<NoiseLevel> = grid.steps().iter().map(|step| step.from).collect();
    assert_eq!(fit.levels(12).unwrap(), all);
    assert_eq!(fit.levels(1).unwrap(), all[..1]);
    let five = fit.levels(5).unwrap();
    assert!(five[0] == all[0] && five.len() == 5 && five.iter().all(|level| all.contains(level)));
    for steps in [0, 13] {
        let error = fit.levels(steps).unwrap_err().to_string();
        assert!(error.contains(&format!("steps {steps}: expected 1 to 12")), "{error}");
    }
}

/// For a sampler of second order, levels are moved from those of DDIM.
#[test]
fn levels_for_a_sampler_are_better_for_it() {
    let (data, grid) = (Mixture::two(), fine(80));
    let x = normal(7, &[128, 1, 2, 2]);
    let mut fit = ScheduleFit::new(&grid);
    fit.add(&data, x.shallow_clone()).unwrap();
    let sampler: Sampler = "dpm++2m".parse().unwrap();
    let end = |schedule: &SamplingSchedule, x: &Tensor| {
        let path = crate::support::schedule();
        sampler.steps(&data, &path, schedule, x.shallow_clone(), silence())?.finish()
    };
    for steps in [4, 6, 8] {
        let exact = end(&grid, &x).unwrap();
        let error = |schedule: &SamplingSchedule| Ok(total_distance(&end(schedule, &x)?, &exact)?);
        let plain = to_the_end(fit.levels(steps).unwrap());
        let moved = to_the_end(fit.levels_for(steps, error).unwrap());
        assert!(error(&moved).unwrap() < error(&plain).unwrap(), "{steps} steps");
        let unseen = normal(8, &[256, 1, 2, 2]);
        let exact = end(&grid, &unseen).unwrap();
        let error = |schedule| total_distance(&end(schedule, &unseen).unwrap(), &exact).unwrap();
        assert!(error(&moved) < error(&plain), "{steps} steps, other noise");
    }
    let failing = |_: &SamplingSchedule| Err(fit.levels(0).unwrap_err());
    assert!(fit.levels_for(4, failing).is_err());
}

/// Errors of single steps are sums over the images, in any division into batches.
#[test]
fn batches_add_up() {
    let (data, grid) = (Mixture::two(), fine(20));
    let x = normal(3, &[10, 1, 2, 2]);
    let (mut whole, mut parts) = (ScheduleFit::new(&grid), ScheduleFit::new(&grid));
    whole.add(&data, x.shallow_clone()).unwrap();
    parts.add(&data, x.narrow(0, 0, 4)).unwrap();
    parts.add(&data, x.narrow(0, 4, 6)).unwrap();
    for steps in 1..=20 {
        assert_eq!(whole.levels(steps).unwrap(), parts.levels(steps).unwrap(), "{steps}");
    }
}
