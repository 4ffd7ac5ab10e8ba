//! The named schedules against their formulas, and how configs spell them.

use inkdrop_schedule::{ScheduleConfig, ScheduleError};
use proptest::prelude::*;

use crate::{close, configs};

proptest! {
    #[test]
    fn configs_survive_json(config in configs()) {
        let text = serde_json::to_string(&config).unwrap();
        prop_assert_eq!(serde_json::from_str::<ScheduleConfig>(&text).unwrap(), config);
    }
}

fn parse(text: &str) -> ScheduleConfig {
    serde_json::from_str(text).unwrap()
}

/// Entries of β at T = 1000, the reference's at 0, 1, 500, 998 and 999.
fn check(config: &ScheduleConfig, reference: [f64; 5]) {
    let schedule = config.build().unwrap();
    for (i, expected) in [0, 1, 500, 998, 999].into_iter().zip(reference) {
        close(schedule.betas()[i], expected);
    }
}

/// The references here are numpy's in f64:
/// `np.linspace(0.00085 ** 0.5, 0.012 ** 0.5, 1000) ** 2`,
/// within 3e-7 of diffusers 0.35, which computes in f32.
#[test]
fn scaled_linear_is_stable_diffusions() {
    check(
        &ScheduleConfig::ScaledLinear { steps: 1000, beta_start: 0.00085, beta_end: 0.012 },
        [0.00085, 0.0008546986554056862, 0.00481495414171188, 0.011982376333083366, 0.012],
    );
}

/// `1 / (1 + np.exp(-np.linspace(-6, 6, 1000))) * (0.02 - 1e-4) + 1e-4`,
/// within 3e-7 of diffusers 0.35.
#[test]
fn sigmoid_is_geodiffs() {
    check(
        &ScheduleConfig::Sigmoid { steps: 1000, beta_start: 1e-4, beta_end: 0.02 },
        [
            0.00014920520081703202,
            0.00014979833041933025,
            0.010079879790061013,
            0.01995020166958067,
            0.01995079479918297,
        ],
    );
}

/// ᾱ from differences of sigmoids, as published, which loses digits that ours keeps.
#[test]
fn sigmoid_cumprod_is_the_published_formula() {
    let schedule = parse(r#"{"name":"sigmoid-cumprod","steps":1000}"#).build().unwrap();
    let reference =
        [0.00030027919974917605, 0.00030200411918746006, 0.003314364235860956, 0.5013569029180894];
    for (i, expected) in [0, 1, 500, 998].into_iter().zip(reference) {
        assert!((schedule.betas()[i] - expected).abs() < 1e-12, "{}", schedule.betas()[i]);
    }
    assert_eq!(schedule.betas()[999], 0.999);

    let other = ScheduleConfig::SigmoidCumprod { steps: 100, start: 0.0, end: 3.0, tau: 0.7 };
    let schedule = other.build().unwrap();
    let reference = [0.022023309433515603, 0.04331349654213179, 0.5104091993757758, 0.999];
    for (i, expected) in [0, 50, 98, 99].into_iter().zip(reference) {
        assert!((schedule.betas()[i] - expected).abs() < 1e-12, "{}", schedule.betas()[i]);
    }
}

/// β of denoising-diffusion-pytorch 2.3.4.
#[test]
fn sigmoid_lucid_is_that_of_the_package() {
    let schedule = parse(r#"{"name":"sigmoid-lucid","steps":400}"#).build().unwrap();
    for (i, expected) in [
        (0, 0.0007537646493204209),
        (200, 0.008285779960492401),
        (397, 0.33785651814057494),
        (398, 0.5033865420261827),
        (399, 0.999),
    ] {
        close(schedule.betas()[i], expected);
    }
    let other = ScheduleConfig::SigmoidLucid { steps: 100, start: 0.0, end: 3.0, tau: 0.7 };
    let schedule = other.build().unwrap();
    for (i, expected) in [(0, 0.022023309789255152), (98, 0.510412549411297), (99, 0.999)] {
        close(schedule.betas()[i], expected);
    }
    // The last ᾱ is a difference of two logistic functions of which one is in f32.
    let far = ScheduleConfig::SigmoidLucid { steps: 977, start: -3.0, end: 2.5, tau: 0.3 };
    close(far.build().unwrap().betas()[976], 0.9901246862377424);
    let nan = ScheduleConfig::SigmoidLucid { steps: 3, start: -3.0, end: f64::NAN, tau: 1.0 };
    assert!(nan.build().is_err());
}

/// Its sigmoids differ by less than f64 can say; the ratios are still right.
#[test]
fn sigmoid_cumprod_keeps_its_digits_far_out() {
    let far = ScheduleConfig::SigmoidCumprod { steps: 1000, start: -3.0, end: 60.0, tau: 1.0 };
    let schedule = far.build().unwrap();
    // Where x is large ᾱ falls as e^(−x) − e^(−60); x is 47.4 here, and 0.063 more after the step.
    close(schedule.betas()[800], (-0.063f64).exp_m1() / (-12.6f64).exp_m1());
}

#[test]
fn constant_and_explicit_betas_are_as_given() {
    let constant = ScheduleConfig::Constant { steps: 3, beta: 0.25 }.build().unwrap();
    assert_eq!(constant.betas().to_vec(), [0.25; 3]);
    let betas = vec![0.1, 0.3, 0.2];
    let explicit = ScheduleConfig::Betas { betas: betas.clone() };
    assert_eq!(explicit.num_timesteps(), 3);
    assert_eq!(explicit.build().unwrap().betas().to_vec(), betas);
}

#[test]
fn linear_takes_ends_of_its_own() {
    let scaled = ScheduleConfig::linear(500).build().unwrap();
    let explicit = parse(r#"{"name":"linear","steps":500,"beta_start":0.0002,"beta_end":0.04}"#);
    assert_eq!(explicit.build().unwrap(), scaled);
    let half = parse(r#"{"name":"linear","steps":500,"beta_end":0.03}"#).build().unwrap();
    assert_eq!((half.betas()[0], half.betas()[499]), (0.0002, 0.03));
}

/// What earlier versions wrote is read, and written the same.
#[test]
fn configs_are_spelled_as_they_were() {
    for (config, text) in [
        (ScheduleConfig::linear(1000), r#"{"name":"linear","steps":1000}"#),
        (ScheduleConfig::cosine(4000), r#"{"name":"cosine","steps":4000}"#),
        (
            ScheduleConfig::SPRITES,
            r#"{"name":"sprites","steps":500,"beta_start":0.0001,"beta_end":0.02}"#,
        ),
        (
            ScheduleConfig::ZeroTerminalSnr { of: Box::new(ScheduleConfig::linear(10)) },
            r#"{"name":"zero-terminal-snr","of":{"name":"linear","steps":10}}"#,
        ),
    ] {
        assert_eq!(serde_json::to_string(&config).unwrap(), text);
        assert_eq!(parse(text), config);
    }
}

#[test]
fn unknown_fields_and_names_are_refused() {
    for wrong in [
        r#"{"name":"cosine","steps":10,"stepz":3}"#,
        r#"{"name":"linear","steps":10,"beta_stop":0.1}"#,
        r#"{"name":"scaled-linear","steps":10}"#,
        r#"{"name":"zero-terminal-snr","of":{"name":"cosine","steps":10,"stepz":3}}"#,
        r#"{"name":"scaled_linear","steps":10,"beta_start":0.1,"beta_end":0.2}"#,
    ] {
        assert!(serde_json::from_str::<ScheduleConfig>(wrong).is_err(), "{wrong}");
    }
}

fn fails(text: &str, message: &str) {
    let error = parse(text).build().unwrap_err().to_string();
    assert!(error.starts_with(message), "{error}");
}

#[test]
fn betas_outside_their_range_are_named() {
    fails(r#"{"name":"linear","steps":3,"beta_end":1.5,"beta_start":0.1}"#, "beta[2] = 1.5");
    fails(r#"{"name":"scaled-linear","steps":3,"beta_start":-1,"beta_end":0.1}"#, "beta[0] = -1");
    fails(r#"{"name":"scaled-linear","steps":3,"beta_start":0.1,"beta_end":4}"#, "beta[1] = 1.34");
    fails(r#"{"name":"scaled-linear","steps":3,"beta_start":0.1,"beta_end":0}"#, "beta[2] = 0");
    fails(r#"{"name":"sigmoid","steps":3,"beta_start":0.1,"beta_end":3}"#, "beta[1] = 1.55");
    fails(r#"{"name":"constant","steps":3,"beta":1}"#, "beta[0] = 1");
    fails(r#"{"name":"betas","betas":[0.1,1,0.1]}"#, "beta[1] = 1");
    fails(r#"{"name":"betas","betas":[]}"#, "steps 0");
    fails(r#"{"name":"constant","steps":2000,"beta":0.9}"#, "alphas_cumprod[");
}

#[test]
fn parameters_outside_their_range_are_named() {
    fails(r#"{"name":"sigmoid-cumprod","steps":3,"tau":0}"#, "tau = 0: expected");
    fails(r#"{"name":"sigmoid-cumprod","steps":3,"start":3}"#, "start = 3 and end = 3: expected");
    fails(r#"{"name":"sigmoid-cumprod","steps":3,"start":-900}"#, "beta[0] = 0");
    fails(r#"{"name":"sigmoid-cumprod","steps":3,"end":9000}"#, "end = 9000: expected");
    fails(r#"{"name":"sigmoid-cumprod","steps":3,"end":400,"tau":0.5}"#, "end = 400: expected");
    assert!(parse(r#"{"name":"sigmoid-cumprod","steps":3,"end":60,"tau":20}"#).build().is_ok());
    for config in [
        ScheduleConfig::Linear { steps: 3, beta_start: Some(f64::NAN), beta_end: None },
        ScheduleConfig::ScaledLinear { steps: 3, beta_start: f64::NAN, beta_end: 0.1 },
        ScheduleConfig::Sigmoid { steps: 3, beta_start: f64::INFINITY, beta_end: 0.1 },
    ] {
        let error = config.build().unwrap_err();
        assert!(matches!(error, ScheduleError::Field { name: "beta_start", .. }), "{error}");
    }
    let nan = ScheduleConfig::SigmoidCumprod { steps: 3, start: -3.0, end: f64::NAN, tau: 1.0 };
    assert!(matches!(nan.build(), Err(ScheduleError::Field { name: "end", .. })));
}
