//! Laws of loss weights and of what networks predict.

use inkdrop_schedule::{PredictionType, Schedule, ScheduleConfig, loss_weights};
use proptest::prelude::*;

use crate::configs;

const ALL: [PredictionType; 4] = [
    PredictionType::Epsilon,
    PredictionType::Sample,
    PredictionType::PosteriorMean,
    PredictionType::Velocity,
];

/// What a network would predict that believes in `x0`, given x at step i.
fn target(schedule: &Schedule, mean: PredictionType, i: usize, x: f64, x0: f64) -> f64 {
    let bar = schedule.alphas_cumprod()[i];
    let eps = (x - bar.sqrt() * x0) / (1.0 - bar).sqrt();
    match mean {
        PredictionType::Epsilon => eps,
        PredictionType::Sample => x0,
        PredictionType::PosteriorMean => {
            schedule.posterior_mean_coef1()[i] * x0 + schedule.posterior_mean_coef2()[i] * x
        }
        PredictionType::Velocity => bar.sqrt() * eps - (1.0 - bar).sqrt() * x0,
    }
}

proptest! {
    /// The weighted loss is min(SNR, γ) times the squared error of x0, whatever is predicted.
    #[test]
    fn the_same_error_of_x0_costs_the_same_in_every_parametrisation(
        config in configs(), share in 0.0f64..1.0, gamma in 0.1f64..20.0,
        x in -2.0f64..2.0, x0 in -1.0f64..0.0, error in 0.5f64..1.0,
    ) {
        let schedule = config.build().unwrap();
        let i = (share * schedule.num_timesteps() as f64) as usize;
        let snr = schedule.snr()[i];
        let expected = snr.min(gamma) * error * error;
        for mean in ALL {
            let weight = loss_weights::min_snr(&schedule, mean, gamma).unwrap()[i];
            let [ours, truth] = [x0 + error, x0].map(|x0| target(&schedule, mean, i, x, x0));
            let loss = weight * (ours - truth).powi(2);
            prop_assert!((loss - expected).abs() <= 1e-6 * expected, "{mean}: {loss} {expected}");
        }
    }

    /// The weighted loss is 1/(1 + SNR)^γ times the squared error of ε, whatever is predicted.
    #[test]
    fn the_same_error_of_eps_costs_the_same_in_every_parametrisation(
        config in configs(), share in 0.0f64..1.0, gamma in 0.1f64..2.0,
        x in -2.0f64..2.0, x0 in -1.0f64..0.0, error in 0.5f64..1.0,
    ) {
        let schedule = config.build().unwrap();
        let i = (share * schedule.num_timesteps() as f64) as usize;
        let snr = schedule.snr()[i];
        let expected = snr * error * error / (1.0 + snr).powf(gamma);
        for mean in ALL {
            let weight = loss_weights::p2(&schedule, mean, gamma, 1.0).unwrap()[i];
            let [ours, truth] = [x0 + error, x0].map(|x0| target(&schedule, mean, i, x, x0));
            let loss = weight * (ours - truth).powi(2);
            prop_assert!((loss - expected).abs() <= 1e-6 * expected, "{mean}: {loss} {expected}");
        }
    }

    #[test]
    fn weights_are_finite_and_not_negative(config in configs(), gamma in 0.1f64..20.0) {
        let schedule = config.build().unwrap();
        for mean in ALL {
            let weights = loss_weights::min_snr(&schedule, mean, gamma).unwrap();
            prop_assert_eq!(weights.len(), schedule.num_timesteps());
            prop_assert!(weights.iter().all(|weight| weight.is_finite() && *weight >= 0.0));
        }
        let weights = loss_weights::p2(&schedule, PredictionType::Epsilon, gamma, 1.0).unwrap();
        prop_assert!(weights.iter().all(|weight| (0.0..=1.0).contains(weight)));
        prop_assert!(weights.windows(2).into_iter().all(|pair| pair[0] <= pair[1]));
    }
}

fn stable_diffusion() -> Schedule {
    ScheduleConfig::ScaledLinear { steps: 1000, beta_start: 0.00085, beta_end: 0.012 }
        .build()
        .unwrap()
}

/// numpy's, in f64, at steps 0, 250, 500, 750 and 999.
#[test]
fn weights_of_stable_diffusions_schedule_are_numpys() {
    let schedule = stable_diffusion();
    let check = |ours: ndarray::Array1<f64>, reference: [f64; 5]| {
        for (i, expected) in [0, 250, 500, 750, 999].into_iter().zip(reference) {
            assert!((ours[i] - expected).abs() < 1e-10 * expected.abs(), "{} {expected}", ours[i]);
        }
    };
    check(
        loss_weights::min_snr(&schedule, PredictionType::Epsilon, 5.0).unwrap(),
        [0.004253615573237339, 1.0, 1.0, 1.0, 1.0],
    );
    check(
        loss_weights::min_snr(&schedule, PredictionType::Velocity, 5.0).unwrap(),
        [
            0.004250000000000087,
            0.6737926252333215,
            0.2763326838229746,
            0.056169848002937305,
            0.0046600985130772375,
        ],
    );
    check(
        loss_weights::p2(&schedule, PredictionType::Epsilon, 0.5, 1.0).unwrap(),
        [
            0.0291547594742268,
            0.571145668605373,
            0.8506863794472234,
            0.9715092135420348,
            0.9976672298351404,
        ],
    );
    check(
        schedule.log_snr(),
        [
            7.069423847025052,
            0.7253890878294231,
            -0.9627262627320194,
            -2.8215661257032423,
            -5.364047700298501,
        ],
    );
}

#[test]
fn pure_noise_weighs_one_in_epsilon_and_nothing_elsewhere() {
    let schedule = Schedule::from_betas(ndarray::array![0.1, 1.0]).unwrap();
    for (mean, weight) in ALL.into_iter().zip([1.0, 0.0, 0.0, 0.0]) {
        assert_eq!(loss_weights::min_snr(&schedule, mean, 5.0).unwrap()[1], weight, "{mean}");
    }
}

#[test]
fn parameters_outside_their_range_are_named() {
    let schedule = stable_diffusion();
    for gamma in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let error = loss_weights::min_snr(&schedule, PredictionType::Velocity, gamma)
            .unwrap_err()
            .to_string();
        assert!(error.starts_with(&format!("gamma = {gamma}: expected")), "{error}");
    }
    for (gamma, k, message) in [
        (-1.0, 1.0, "gamma = -1: expected"),
        (f64::NAN, 1.0, "gamma = NaN: expected"),
        (1.0, 0.0, "k = 0: expected"),
        (0.0, 0.0, "k = 0: expected a finite number above 0"),
        (1.0, f64::INFINITY, "k = inf: expected"),
        (400.0, 0.001, "k = 0.001: expected"),
    ] {
        let error =
            loss_weights::p2(&schedule, PredictionType::Epsilon, gamma, k).unwrap_err().to_string();
        assert!(error.starts_with(message), "{error}");
    }
}

#[test]
fn targets_are_read_in_the_spellings_of_others() {
    for mean in ALL {
        assert_eq!(mean.to_string().parse(), Ok(mean));
        assert_eq!(serde_json::to_string(&mean).unwrap(), format!("\"{mean}\""));
    }
    for (text, mean) in [
        ("sample", PredictionType::Sample),
        ("start_x", PredictionType::Sample),
        ("start-x", PredictionType::Sample),
        ("previous-x", PredictionType::PosteriorMean),
        ("v", PredictionType::Velocity),
        ("previous_x", PredictionType::PosteriorMean),
        ("v_prediction", PredictionType::Velocity),
        ("v-prediction", PredictionType::Velocity),
    ] {
        assert_eq!(text.parse(), Ok(mean));
        let json = format!("\"{text}\"");
        assert_eq!(serde_json::from_str::<PredictionType>(&json).unwrap(), mean);
    }
    assert_eq!(PredictionType::default(), PredictionType::Epsilon);
    let error = "noise".parse::<PredictionType>().unwrap_err().to_string();
    for word in ["`noise`", "epsilon", "sample", "posterior-mean", "velocity"] {
        assert!(error.contains(word), "{error}");
    }
}
