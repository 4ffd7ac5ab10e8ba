//! Laws of the spacing of noise levels.

use inkdrop_schedule::{LevelSpacing, NoiseLevel, SamplingSchedule, Schedule, ScheduleConfig};
use inkdrop_schedule::{ScheduleError, TimestepSpacing, sigmas};
use ndarray::Array1;

/// Each spacing with its text.
fn spacings() -> Vec<(&'static str, LevelSpacing)> {
    let timesteps = LevelSpacing::Timesteps;
    vec![
        ("", timesteps(TimestepSpacing::All)),
        ("20", timesteps(TimestepSpacing::Sections(vec![20]))),
        ("trailing20", timesteps(TimestepSpacing::Trailing(20))),
        ("at:0,10", timesteps(TimestepSpacing::Explicit(vec![0, 10]))),
        ("karras20", LevelSpacing::Karras { steps: 20, rho: 7.0 }),
        ("karras20:5", LevelSpacing::Karras { steps: 20, rho: 5.0 }),
        ("karras9:1", LevelSpacing::Karras { steps: 9, rho: 1.0 }),
        ("exponential12", LevelSpacing::Exponential { steps: 12 }),
        ("polyexponential20", LevelSpacing::PolyExponential { steps: 20, rho: 1.0 }),
        ("polyexponential20:0.5", LevelSpacing::PolyExponential { steps: 20, rho: 0.5 }),
        ("polyexponential3:7", LevelSpacing::PolyExponential { steps: 3, rho: 7.0 }),
        ("sigmas:80,2.5,0.02", LevelSpacing::Sigmas(vec![80.0, 2.5, 0.02])),
        ("vp30", LevelSpacing::Vp { steps: 30 }),
    ]
}

#[test]
fn texts_are_written_as_they_are_read() {
    for (text, spacing) in spacings() {
        assert_eq!(text.parse(), Ok(spacing.clone()));
        assert_eq!(spacing.to_string(), text);
    }
    for (text, same) in [("karras20:7", "karras20"), ("polyexponential20:1", "polyexponential20")] {
        assert_eq!(text.parse::<LevelSpacing>(), same.parse());
    }
}

#[test]
fn unknown_texts_are_named() {
    for wrong in [
        "karras",
        "karras:7",
        "karras20:x",
        "karras-1",
        "exponential",
        "exponential20:2",
        "polyexponential2.5",
        "sigmas:",
        "sigmas:3,x",
        "polyexponential9:x",
        "vp",
        "vp20:1",
        "fast",
        "ddimx",
    ] {
        let error = wrong.parse::<LevelSpacing>().unwrap_err();
        assert_eq!(error, ScheduleError::LevelSpacing(wrong.to_string()));
    }
    let error = "fast".parse::<LevelSpacing>().unwrap_err().to_string();
    for form in ["`fast`", "karras20", "exponential20", "polyexponential20", "vp20", "ddim20"] {
        assert!(error.contains(form), "{error}");
    }
}

fn check(schedule: &Schedule, text: &str, grid: Array1<f64>) {
    let spacing: LevelSpacing = text.parse().unwrap();
    let expected = SamplingSchedule::from_sigmas(schedule, grid).unwrap();
    assert_eq!(spacing.sampling_schedule(schedule).unwrap(), expected, "{text}");
}

/// A grid runs from the largest σ of the process to the smallest.
#[test]
fn grids_span_the_sigmas_of_the_process() {
    for config in [ScheduleConfig::linear(1000), ScheduleConfig::cosine(50)] {
        let schedule = config.build().unwrap();
        let sigma = |i: usize| {
            let bar = schedule.alphas_cumprod()[i];
            ((1.0 - bar) / bar).sqrt()
        };
        let (low, high) = (sigma(0), sigma(schedule.num_timesteps() - 1));
        check(&schedule, "karras20", sigmas::karras(20, low, high, 7.0).unwrap());
        check(&schedule, "karras5:3", sigmas::karras(5, low, high, 3.0).unwrap());
        check(&schedule, "exponential9", sigmas::exponential(9, low, high).unwrap());
        let poly = |rho| sigmas::polyexponential(9, low, high, rho).unwrap();
        check(&schedule, "polyexponential9", poly(1.0));
        check(&schedule, "polyexponential9:2", poly(2.0));
        // The continuous process has its own range.
        check(&schedule, "vp30", sigmas::vp(30, 19.9, 0.1, 1e-3).unwrap());
    }
}

/// The σ of pure noise is infinite; the grid starts at the largest that solvers divide by.
#[test]
fn grids_of_a_zero_terminal_process_start_at_the_minimum_signal() {
    let zero = ScheduleConfig::ZeroTerminalSnr { of: Box::new(ScheduleConfig::linear(100)) };
    let schedule = zero.build().unwrap();
    let spacing: LevelSpacing = "exponential10".parse().unwrap();
    let start = spacing.sampling_schedule(&schedule).unwrap().start();
    let expected = NoiseLevel::MIN_ALPHA_CUMPROD;
    assert!((start.alpha_cumprod / expected - 1.0).abs() < 1e-9, "{start:?}");
}

#[test]
fn timesteps_are_those_of_their_spacing() {
    let schedule = ScheduleConfig::linear(1000).build().unwrap();
    for text in ["", "20", "trailing20", "at:0,10,500"] {
        let timesteps = text.parse::<TimestepSpacing>().unwrap().timesteps(1000).unwrap();
        let expected = SamplingSchedule::from_timesteps(&schedule, &timesteps);
        assert_eq!(text.parse::<LevelSpacing>().unwrap().sampling_schedule(&schedule), expected);
    }
    for wrong in ["karras0", "karras5:0", "exponential0", "polyexponential5:-1", "vp0", "1001"] {
        let spacing: LevelSpacing = wrong.parse().unwrap();
        assert!(spacing.sampling_schedule(&schedule).is_err(), "{wrong}");
    }
}

#[test]
fn given_noise_levels_are_taken_within_the_range_and_decreasing() {
    let of = |levels: &[f64]| LevelSpacing::Sigmas(levels.to_vec()).sigmas(0.01, 80.0);
    assert_eq!(of(&[80.0, 3.0, 0.01]).unwrap().to_vec(), [80.0, 3.0, 0.01]);
    // Six printed digits of the ends.
    assert_eq!(of(&[80.0001, 0.00999999]).unwrap().to_vec(), [80.0, 0.01]);
    assert!(LevelSpacing::Sigmas(vec![1e9, 2.0]).sigmas(0.01, f64::INFINITY).is_ok());
    for (levels, wrong) in [
        (&[81.0, 1.0][..], "sigma 81"),
        (&[1.0, 2.0], "sigma 2"),
        (&[1.0, 1.0], "sigma 1"),
        (&[1.0, 0.005], "sigma 0.005"),
        (&[1.0, f64::NAN], "sigma NaN"),
        (&[f64::INFINITY], "sigma inf"),
        (&[], "n = 0"),
    ] {
        let error = of(levels).unwrap_err().to_string();
        assert!(error.contains(wrong), "{error}");
    }
}
