//! Laws of the forward process and of the times.

use inkdrop_process::{ForwardNoise, ProcessConfig, TimeInput, pixels};
use inkdrop_schedule::{NoiseLevel, ScheduleConfig, TimestepSpacing};
use inkdrop_torch::tch::{Device, Kind, Tensor};

use crate::support::{F32, process};

fn times(process: &inkdrop_process::Process) -> Vec<f32> {
    let all = Tensor::arange(process.schedule().num_timesteps() as i64, (Kind::Int64, Device::Cpu));
    process.network_time(&all).unwrap().try_into().unwrap()
}

#[test]
fn networks_see_time_in_their_own_units() {
    let cosine = ScheduleConfig::cosine(4);
    assert_eq!(times(&process(TimeInput::Index, cosine.clone())), [0.0, 1.0, 2.0, 3.0]);
    assert_eq!(times(&process(TimeInput::Rescaled, cosine.clone())), [0.0, 250.0, 500.0, 750.0]);
    assert_eq!(times(&process(TimeInput::Fraction, cosine)), [0.25, 0.5, 0.75, 1.0]);
}

#[test]
fn a_shorter_run_shows_the_times_of_the_full_one() {
    let full = process(TimeInput::Fraction, ScheduleConfig::SPRITES);
    let short = full.respaced(&TimestepSpacing::Trailing(4)).unwrap();
    assert_eq!(short.timestep_map(), [124, 249, 374, 499]);
    assert_eq!(times(&short), [0.25, 0.5, 0.75, 1.0]);
    let shorter = short.respaced(&TimestepSpacing::Trailing(2)).unwrap();
    assert_eq!(shorter.timestep_map(), [249, 499]);
    let at: Vec<f32> = shorter
        .network_time_at(shorter.sampling_schedule().unwrap().start(), 3)
        .unwrap()
        .try_into()
        .unwrap();
    assert_eq!(at, [1.0; 3]);
}

#[test]
fn between_steps_networks_see_times_between() {
    let level = NoiseLevel { alpha_cumprod: 0.5, timestep: 1.5 };
    for (time, expected) in
        [(TimeInput::Index, 1.5), (TimeInput::Rescaled, 375.0), (TimeInput::Fraction, 0.625)]
    {
        let process = process(time, ScheduleConfig::cosine(4));
        let seen: Vec<f32> = process.network_time_at(level, 2).unwrap().try_into().unwrap();
        assert_eq!(seen, [expected; 2]);
    }
}

#[test]
fn a_path_visits_the_kept_steps_and_ends_without_noise() {
    let full = process(TimeInput::Fraction, ScheduleConfig::SPRITES);
    let path = full.respaced(&TimestepSpacing::Trailing(4)).unwrap().sampling_schedule().unwrap();
    let times: Vec<f64> = path.steps().iter().map(|step| step.from.timestep).collect();
    assert_eq!(times, [499.0, 374.0, 249.0, 124.0]);
    assert!(path.steps()[3].to.is_noiseless());
    assert!(path.steps().windows(2).all(|pair| pair[0].to == pair[1].from));
}

/// The steps of a process have its own β, even where ᾱ is not the product of 1 − β.
#[test]
fn steps_have_the_betas_of_the_process() {
    let zero = ScheduleConfig::ZeroTerminalSnr { of: Box::new(ScheduleConfig::linear(50)) };
    for config in [ScheduleConfig::SPRITES, ScheduleConfig::cosine(50), zero] {
        let process = process(TimeInput::Index, config);
        let steps = process.sampling_schedule().unwrap();
        for (step, &beta) in steps.steps().iter().rev().zip(process.schedule().betas()) {
            assert!((step.beta() - beta).abs() < 1e-12, "{step:?} {beta}");
            assert!(step.posterior_mean_coefs().1.is_finite(), "{step:?}");
        }
    }
}

#[test]
fn keeping_all_steps_changes_nothing() {
    let full = process(TimeInput::Fraction, ScheduleConfig::SPRITES);
    assert_eq!(full.respaced(&TimestepSpacing::All).unwrap().schedule(), full.schedule());
    assert_eq!(full.respaced(&TimestepSpacing::Trailing(500)).unwrap().schedule(), full.schedule());
}

#[test]
fn noised_images_have_the_schedules_mean_and_variance() {
    let process = process(TimeInput::Index, ScheduleConfig::linear(1000));
    let x0 = Tensor::full([4, 3, 64, 64], 0.5, F32);
    let noise = x0.randn_like();
    let t = Tensor::from_slice(&[0i64, 100, 500, 999]);
    let x = process.q_sample(&x0, &t, &noise, ForwardNoise::Standard).unwrap();
    for (row, step) in [0usize, 100, 500, 999].into_iter().enumerate() {
        let bar = process.schedule().alphas_cumprod()[step];
        let x = x.get(row as i64);
        // 12,288 draws: the standard errors of mean and deviation are below 0.01.
        assert!((f64::try_from(x.mean(Kind::Double)).unwrap() - 0.5 * bar.sqrt()).abs() < 0.04);
        assert!((f64::try_from(x.std(false)).unwrap() - (1.0 - bar).sqrt()).abs() < 0.04);
    }
}

#[test]
fn the_published_noising_leaves_the_root_out() {
    let process = process(TimeInput::Fraction, ScheduleConfig::SPRITES);
    let (x0, noise) = (Tensor::zeros([1, 1, 2, 2], F32), Tensor::ones([1, 1, 2, 2], F32));
    let at = |noising| {
        let x = process.q_sample(&x0, &Tensor::from_slice(&[200i64]), &noise, noising).unwrap();
        x.double_value(&[0, 0, 0, 0])
    };
    let variance = 1.0 - process.schedule().alphas_cumprod()[200];
    assert!((at(ForwardNoise::Standard) - variance.sqrt()).abs() < 1e-6);
    assert!((at(ForwardNoise::SpritesNotebook) - variance).abs() < 1e-6);
}

#[test]
fn every_byte_survives_the_way_to_a_tensor_and_back() {
    let bytes: Vec<u8> = (0..=255).chain(0..=255).chain(0..=255).collect();
    let x = pixels::to_tensor(&bytes, [1, 16, 16, 3], Device::Cpu).unwrap();
    assert_eq!(x.size(), [1, 3, 16, 16]);
    let (low, high) = (f64::try_from(x.min()).unwrap(), f64::try_from(x.max()).unwrap());
    assert_eq!((low, high), (-1.0, 1.0));
    let back = pixels::from_tensor(&(x + 1e-6)).unwrap();
    assert_eq!(back, bytes);
}

#[test]
fn tensors_become_pixels_by_truncation_and_clamping() {
    let x = Tensor::from_slice(&[-3.0f32, -1.0, 0.0, 0.999, 1.0, 9.0]).view([1, 1, 1, 6]);
    // (0 + 1)·127.5 = 127.5 → 127; (0.999 + 1)·127.5 = 254.87 → 254
    assert_eq!(pixels::from_tensor(&x).unwrap(), [0, 0, 127, 254, 255, 255]);
}

/// Rounding half to even, where [`pixels::from_tensor`] cuts off.
#[test]
fn tensors_become_rounded_pixels() {
    let bytes: Vec<u8> = (0..=255).chain(0..=255).chain(0..=255).collect();
    let x = pixels::to_tensor(&bytes, [1, 32, 8, 3], Device::Cpu).unwrap();
    assert_eq!(pixels::from_tensor_rounded(&x).unwrap(), bytes);
    let x = Tensor::from_slice(&[-3.0f32, -1.0, -0.501, 0.0, 0.999, 1.0, 9.0]).view([1, 1, 1, 7]);
    // 0.2495·255 = 63.6 → 64; 0.5·255 = 127.5 → 128; 0.9995·255 = 254.87 → 255
    assert_eq!(pixels::from_tensor_rounded(&x).unwrap(), [0, 0, 64, 128, 255, 255, 255]);
}

/// The last axis of the images is the channels, the second of the tensor.
#[test]
fn pixels_are_in_the_order_of_images() {
    let bytes: Vec<u8> = (0..24).collect();
    let x = pixels::to_tensor(&bytes, [1, 2, 4, 3], Device::Cpu).unwrap();
    for (row, column, channel) in [(0, 0, 1), (0, 3, 2), (1, 2, 0)] {
        let expected = (row * 12 + column * 3 + channel) as f64 / 127.5 - 1.0;
        assert!((x.double_value(&[0, channel, row, column]) - expected).abs() < 1e-6);
    }
}

#[test]
fn times_of_a_sampling_schedule_are_those_of_its_levels() {
    for (time, unit) in [(TimeInput::Index, 1.0), (TimeInput::Rescaled, 2.0)] {
        let process = process(time, ScheduleConfig::linear(500));
        let short = process.respaced(&TimestepSpacing::Explicit(vec![3, 77, 498])).unwrap();
        let times = process.network_times(&short.sampling_schedule().unwrap());
        assert_eq!(times, [498.0, 77.0, 3.0].map(|step| step * unit));
    }
    let process = process(TimeInput::Fraction, ScheduleConfig::linear(500));
    let times = process.network_times(&process.sampling_schedule().unwrap());
    let expected: Vec<f64> =
        (1..=500).rev().map(|t| f64::from((t as f64 / 500.0) as f32)).collect();
    assert_eq!(times, expected);
}

#[test]
fn configs_leave_out_what_is_usual() {
    let usual = serde_json::to_value(ProcessConfig::sprites()).unwrap();
    assert!(usual.get("prediction").is_none() && usual.get("clip").is_none(), "{usual}");
    let other = ProcessConfig {
        prediction: inkdrop_process::PredictionType::Velocity,
        clip: true,
        ..ProcessConfig::sprites()
    };
    let written = serde_json::to_value(&other).unwrap();
    assert_eq!((&written["prediction"], &written["clip"]), (&"velocity".into(), &true.into()));
    assert_eq!(serde_json::from_value::<ProcessConfig>(written).unwrap(), other);
}

#[test]
fn configs_survive_json_and_refuse_unknown_fields() {
    let config = ProcessConfig::sprites();
    let text = serde_json::to_string(&config).unwrap();
    assert_eq!(serde_json::from_str::<ProcessConfig>(&text).unwrap(), config);
    let unknown = text.replace("\"variance\"", "\"varianz\"");
    assert!(serde_json::from_str::<ProcessConfig>(&unknown).is_err());
}

#[test]
fn shapes_that_do_not_fit_are_named() {
    let process = process(TimeInput::Index, ScheduleConfig::cosine(10));
    let of = |shape: &[i64]| Tensor::zeros(shape, F32);
    let t = |n: i64| Tensor::zeros([n], (Kind::Int64, Device::Cpu));
    let error = |x0: Tensor, t: Tensor, noise: Tensor| {
        process.q_sample(&x0, &t, &noise, ForwardNoise::Standard).unwrap_err().to_string()
    };
    let (four, one) = ([4, 3, 8, 8], [1, 3, 8, 8]);
    assert!(error(of(&four), t(4), of(&one)).contains("[1, 3, 8, 8], expected [4, 3, 8, 8]"));
    assert!(error(of(&four), t(1), of(&four)).contains("t has shape [1], expected [4]"));
    assert!(error(of(&one), t(4), of(&one)).contains("t has shape [4], expected [1]"));
    assert!(error(of(&[]), t(1), of(&[])).contains("x0 has shape []"));
}

/// Bayes' rule: the posterior times q(x_t | x0) is q(x_t | x_{t−1}) times q(x_{t−1} | x0).
#[test]
fn the_posterior_is_what_bayes_says() {
    let process = process(TimeInput::Index, ScheduleConfig::cosine(10));
    let (bars, betas) = (process.schedule().alphas_cumprod(), process.schedule().betas());
    let ln =
        |x: f64, mean: f64, variance: f64| -0.5 * ((x - mean).powi(2) / variance + variance.ln());
    let (x0, x) = (0.4, -0.8);
    let of = |value: f64| Tensor::full([1, 1, 1, 1], value, crate::support::F64);
    for t in 1..10usize {
        let at = Tensor::from_slice(&[t as i64]);
        let (mean, log) = process.q_posterior(&of(x0), &of(x), &at).unwrap();
        let (mean, log) = (f64::try_from(mean).unwrap(), f64::try_from(log).unwrap());
        let difference = |before: f64| {
            let forward = ln(x, (1.0 - betas[t]).sqrt() * before, betas[t]);
            let prior = ln(before, bars[t - 1].sqrt() * x0, 1.0 - bars[t - 1]);
            ln(before, mean, log.exp()) - forward - prior
        };
        let values = [-1.0, 0.0, 0.3, 2.0].map(difference);
        assert!(values.iter().all(|v| (v - values[0]).abs() < 1e-8), "t = {t}: {values:?}");
    }
}
