//! What outputs mean, whatever the network predicts.

use inkdrop_nn::Conditioning;
use inkdrop_process::{
    Denoiser, FnDenoiser, NetworkDenoiser, PredictionType, Process, ProcessConfig, ProcessError,
    Variance,
};
use inkdrop_schedule::{LevelSpacing, ScheduleConfig, SolverStep, TimestepSpacing};
use inkdrop_torch::tch::{Device, Tensor};

use crate::support::{F64, MEANS, Oracle, config, largest, typed};

#[test]
fn all_mean_types_say_the_same() {
    let x = Tensor::randn([2, 3, 4, 4], F64);
    for mean in MEANS {
        let process = typed(mean, Variance::FixedSmall);
        let oracle = Oracle::of(&process);
        let denoiser = NetworkDenoiser::new(&process, &oracle, Conditioning::none());
        for step in process.sampling_schedule().unwrap().steps().iter().step_by(9) {
            let said = denoiser.denoise(&x, step).unwrap();
            let bar = Tensor::from(step.from.alpha_cumprod);
            assert!(largest(&(&said.x0 - oracle.x0(&x, &bar))) < 1e-9, "{mean:?} at {step:?}");
            let again = &said.x0 * step.from.signal() + &said.eps * step.from.noise();
            assert!(largest(&(again - &x)) < 1e-9, "{mean:?} at {step:?}");
            let v = &said.eps * step.from.signal() - &said.x0 * step.from.noise();
            assert!(largest(&(said.v(step).unwrap() - v)) < 1e-12);
        }
    }
}

/// x = √ᾱ·x0 + √(1−ᾱ)·ε here; the function sees x0 + σ·ε.
#[test]
fn a_function_of_x_and_sigma_is_a_denoiser() {
    let process = typed(PredictionType::Epsilon, Variance::FixedSmall);
    let oracle = Oracle::of(&process);
    let network = NetworkDenoiser::new(&process, &oracle, Conditioning::none());
    // Data from N(0.3, 0.5²), as the oracle's.
    let function = FnDenoiser::new(|x: &Tensor, sigma: f64| {
        Ok((x * 0.25 + 0.3 * sigma * sigma) / (0.25 + sigma * sigma))
    });
    let x = Tensor::randn([2, 3, 4, 4], F64);
    for step in process.sampling_schedule().unwrap().steps().iter().step_by(9) {
        let expected = network.denoise(&x, step).unwrap();
        let given = function.denoise(&x, step).unwrap();
        assert!(largest(&(&given.x0 - expected.x0)) < 1e-9, "{step:?}");
        assert!(largest(&(&given.eps - expected.eps)) < 1e-9, "{step:?}");
        let difference =
            given.log_variance.double_value(&[]) - expected.log_variance.double_value(&[]);
        assert!(step.to.is_noiseless() || difference.abs() < 1e-9, "{step:?}");
    }
    let linear = Box::new(ScheduleConfig::linear(100));
    let zero = ScheduleConfig::ZeroTerminalSnr { of: linear }.build().unwrap();
    let noise = SolverStep::new(zero.level(99), zero.level(98));
    assert!(matches!(function.denoise(&x, &noise), Err(ProcessError::NoSignal)));
}

/// On a short path of the full process the network's previous_x is still the full process's.
#[test]
fn a_short_path_does_not_change_what_previous_x_means() {
    let process = typed(PredictionType::PosteriorMean, Variance::FixedSmall);
    let oracle = Oracle::of(&process);
    let denoiser = NetworkDenoiser::new(&process, &oracle, Conditioning::none());
    let path = LevelSpacing::Timesteps(TimestepSpacing::Trailing(5))
        .sampling_schedule(process.schedule())
        .unwrap();
    let x = Tensor::randn([1, 1, 4, 4], F64);
    for step in path.steps() {
        let said = denoiser.denoise(&x, step).unwrap();
        let bar = Tensor::from(step.from.alpha_cumprod);
        assert!(largest(&(&said.x0 - oracle.x0(&x, &bar))) < 1e-9);
    }
}

#[test]
fn a_clipped_prediction_stays_in_range_and_still_makes_x() {
    for mean in MEANS {
        let full = typed(mean, Variance::FixedLarge);
        let config = ProcessConfig { clip: true, ..full.config().clone() };
        let process = Process::new(&config, Device::Cpu).unwrap();
        let oracle = Oracle::of(&process);
        let x = Tensor::randn([2, 3, 4, 4], F64) * 9.0;
        let denoiser = NetworkDenoiser::new(&process, &oracle, Conditioning::none());
        let path = process.sampling_schedule().unwrap();
        for step in [path.steps()[0], path.steps()[50], path.steps()[99]] {
            let said = denoiser.denoise(&x, &step).unwrap();
            assert!(largest(&said.x0) <= 1.0);
            let again = &said.x0 * step.from.signal() + &said.eps * step.from.noise();
            assert!(largest(&(again - &x)) < 1e-9);
            let free = NetworkDenoiser::new(&process, &oracle, Conditioning::none()).unclipped();
            let free = free.denoise(&x, &step).unwrap();
            assert!(largest(&(free.x0.clamp(-1.0, 1.0) - &said.x0)) < 1e-12);
        }
    }
}

#[test]
fn fixed_variances_are_beta_or_the_posteriors() {
    for variance in [Variance::FixedSmall, Variance::FixedLarge] {
        let process = typed(PredictionType::Epsilon, variance);
        let oracle = Oracle::of(&process);
        let denoiser = NetworkDenoiser::new(&process, &oracle, Conditioning::none());
        let x = Tensor::randn([1, 1, 2, 2], F64);
        for (i, step) in process.sampling_schedule().unwrap().steps().iter().enumerate().take(99) {
            let index = 99 - i;
            let schedule = process.schedule();
            let expected = match variance {
                Variance::FixedSmall => schedule.posterior_variance()[index],
                _ => schedule.betas()[index],
            };
            let said = denoiser.denoise(&x, step).unwrap().log_variance;
            assert!((f64::try_from(said).unwrap().exp() / expected - 1.0).abs() < 1e-9);
        }
    }
}

/// −1 is the posterior's variance, 1 is β, 0 their geometric mean.
#[test]
fn a_learned_range_lies_between_the_fixed_variances() {
    let process = typed(PredictionType::Velocity, Variance::LearnedRange);
    let step = process.sampling_schedule().unwrap().steps()[40];
    let (small, large) = (step.posterior_variance().ln(), step.beta().ln());
    for (said, expected) in [(-1.0, small), (0.0, (small + large) / 2.0), (1.0, large)] {
        let oracle = Oracle { variance: Some(said), ..Oracle::of(&process) };
        let denoiser = NetworkDenoiser::new(&process, &oracle, Conditioning::none());
        let x = Tensor::randn([2, 3, 4, 4], F64);
        let log = denoiser.denoise(&x, &step).unwrap().log_variance;
        assert_eq!(log.size(), [2, 3, 4, 4]);
        assert!(largest(&(log - expected)) < 1e-12);
    }
}

#[test]
fn a_learned_variance_is_taken_as_it_is_said() {
    let process = typed(PredictionType::Sample, Variance::Learned);
    let oracle = Oracle { variance: Some(-3.5), ..Oracle::of(&process) };
    let denoiser = NetworkDenoiser::new(&process, &oracle, Conditioning::none());
    let step = process.sampling_schedule().unwrap().steps()[7];
    let log = denoiser.denoise(&Tensor::randn([1, 3, 4, 4], F64), &step).unwrap().log_variance;
    assert_eq!(largest(&(log + 3.5)), 0.0);
}

#[test]
fn outputs_that_do_not_fit_the_process_are_named() {
    let (plain, learned) = (Variance::FixedLarge, Variance::LearnedRange);
    for (says, takes, given, expected) in [
        (plain, learned, "outputs 3 channels", "expects 6"),
        (learned, plain, "outputs 6", "expects 3"),
    ] {
        let oracle = Oracle::of(&typed(PredictionType::Epsilon, says));
        let process = typed(PredictionType::Epsilon, takes);
        let denoiser = NetworkDenoiser::new(&process, &oracle, Conditioning::none());
        let x = Tensor::randn([1, 3, 4, 4], F64);
        let error =
            denoiser.denoise(&x, &process.sampling_schedule().unwrap().steps()[0]).unwrap_err();
        let text = error.to_string();
        assert!(text.contains(given) && text.contains(expected), "{text}");
    }
}

#[test]
fn pure_noise_says_nothing_through_epsilon_but_through_v_and_x0() {
    let zero = ScheduleConfig::ZeroTerminalSnr { of: Box::new(ScheduleConfig::linear(100)) };
    let config = config(inkdrop_process::TimeInput::Index, zero);
    let x = Tensor::randn([1, 1, 2, 2], F64);
    for mean in MEANS {
        let process =
            Process::new(&ProcessConfig { prediction: mean, ..config.clone() }, Device::Cpu)
                .unwrap();
        let first: SolverStep = process.sampling_schedule().unwrap().steps()[0];
        assert_eq!(first.from.alpha_cumprod, 0.0);
        let oracle = Oracle::of(&process);
        let denoiser = NetworkDenoiser::new(&process, &oracle, Conditioning::none());
        let said = denoiser.denoise(&x, &first);
        if mean == PredictionType::Epsilon {
            assert!(said.unwrap_err().to_string().contains("zero terminal SNR"));
        } else {
            assert!(largest(&(said.unwrap().x0 - 0.3)) < 1e-9, "{mean:?}");
        }
    }
}
