//! What outputs mean, whatever the network predicts.

use inkdrop_nn::{Conditioning, FnNetwork, Network, NetworkError};
use inkdrop_process::{
    Denoiser, FnDenoiser, NetworkDenoiser, NetworkOutput, Prediction, PredictionType, Process,
    ProcessConfig, ProcessError, Variance,
};
use inkdrop_schedule::{LevelSpacing, NoiseLevel, ScheduleConfig, SolverStep, TimestepSpacing};
use inkdrop_torch::tch::{Device, Kind, Tensor};

use crate::support::{F64, MEANS, Oracle, config, largest, typed};

#[test]
fn all_mean_types_say_the_same() {
    let x = Tensor::randn([2, 3, 4, 4], F64);
    for mean in MEANS {
        let process = typed(mean, Variance::FixedSmall);
        let oracle = Oracle::of(&process);
        let denoiser = NetworkDenoiser::new(&process, &oracle, Conditioning::none());
        for step in process.sampling_schedule().unwrap().steps().iter().step_by(9) {
            let prediction = denoiser.denoise(&x, step).unwrap();
            let bar = Tensor::from(step.from.alpha_cumprod);
            assert!(
                largest(&(&prediction.x0 - oracle.x0(&x, &bar))) < 1e-9,
                "{mean:?} at {step:?}"
            );
            let again = &prediction.x0 * step.from.signal() + &prediction.eps * step.from.noise();
            assert!(largest(&(again - &x)) < 1e-9, "{mean:?} at {step:?}");
            let v = &prediction.eps * step.from.signal() - &prediction.x0 * step.from.noise();
            assert!(largest(&(prediction.output(NetworkOutput::V, step).unwrap() - v)) < 1e-12);
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
        let prediction = denoiser.denoise(&x, step).unwrap();
        let bar = Tensor::from(step.from.alpha_cumprod);
        assert!(largest(&(&prediction.x0 - oracle.x0(&x, &bar))) < 1e-9);
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
            let prediction = denoiser.denoise(&x, &step).unwrap();
            assert!(largest(&prediction.x0) <= 1.0);
            let again = &prediction.x0 * step.from.signal() + &prediction.eps * step.from.noise();
            assert!(largest(&(again - &x)) < 1e-9);
            let free = NetworkDenoiser::new(&process, &oracle, Conditioning::none()).unclipped();
            let free = free.denoise(&x, &step).unwrap();
            // Where x is nearly noise, x0 is nearly the mean of the data.
            assert!(largest(&free.x0) > 1.0 || step.from.alpha_cumprod < 0.01, "{step:?}");
            assert!(largest(&(free.x0.clamp(-1.0, 1.0) - &prediction.x0)) < 1e-12);
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
            let log_variance = denoiser.denoise(&x, step).unwrap().log_variance;
            assert!((f64::try_from(log_variance).unwrap().exp() / expected - 1.0).abs() < 1e-9);
        }
    }
}

/// −1 is the posterior's variance, 1 is β, 0 their geometric mean.
#[test]
fn a_learned_range_lies_between_the_fixed_variances() {
    let process = typed(PredictionType::Velocity, Variance::LearnedRange);
    let step = process.sampling_schedule().unwrap().steps()[40];
    let (small, large) = (step.posterior_variance().ln(), step.beta().ln());
    for (output, expected) in [(-1.0, small), (0.0, (small + large) / 2.0), (1.0, large)] {
        let oracle = Oracle { variance: Some(output), ..Oracle::of(&process) };
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
        let prediction = denoiser.denoise(&x, &first);
        if mean == PredictionType::Epsilon {
            assert!(prediction.unwrap_err().to_string().contains("zero terminal SNR"));
        } else {
            assert!(largest(&(prediction.unwrap().x0 - 0.3)) < 1e-9, "{mean:?}");
        }
    }
}

fn step(from: f64, to: f64) -> SolverStep {
    let level = |alpha_cumprod| NoiseLevel { alpha_cumprod, timestep: 50.0 };
    SolverStep::new(level(from), level(to))
}

/// x0 and ε determine each other, and the mean of the step follows from x0 and x.
#[test]
fn a_replaced_half_of_a_prediction_determines_the_other() {
    let (x, step) = (Tensor::randn([2, 1, 3, 3], F64), step(0.3, 0.6));
    let [a, b] = [0, 1].map(|_| x.randn_like());
    let first = Prediction::from_x0(a.shallow_clone(), &x, &step).unwrap();
    assert!(largest(&(&first.x0 - &a)) == 0.0 && first.mean.is_none());
    let variance = first.log_variance.double_value(&[]).exp();
    assert!((variance - step.posterior_variance()).abs() < 1e-12);
    let made = |prediction: &Prediction| {
        &prediction.x0 * step.from.signal() + &prediction.eps * step.from.noise()
    };
    assert!(largest(&(made(&first) - &x)) < 1e-12);
    let (of_x0, of_x) = step.posterior_mean_coefs();
    let mean = first.posterior_mean(&x, &step).unwrap();
    assert!(largest(&(mean - (&a * of_x0 + &x * of_x))) < 1e-12);

    let prediction = Prediction { mean: Some(b.shallow_clone()), ..first };
    assert!(largest(&(prediction.posterior_mean(&x, &step).unwrap() - &b)) == 0.0);
    let prediction = prediction.clipped(&x, &step).unwrap();
    assert!(largest(&(prediction.x0.shallow_clone() - a.clamp(-1.0, 1.0))) == 0.0);
    assert!(largest(&(made(&prediction) - &x)) < 1e-12);
    assert!(largest(&(prediction.mean.as_ref().unwrap() - &b)) == 0.0, "a direct mean is kept");

    let prediction = prediction.with_x0(a, &x, &step).unwrap();
    assert!(prediction.mean.is_none() && largest(&(made(&prediction) - &x)) < 1e-12);
    let prediction = Prediction { mean: Some(b.shallow_clone()), ..prediction };
    let prediction = prediction.with_eps(b.shallow_clone(), &x, &step).unwrap();
    assert!(largest(&(made(&prediction) - &x)) < 1e-12 && largest(&(&prediction.eps - &b)) == 0.0);
    assert!(prediction.mean.is_none());
    let pure = SolverStep::new(NoiseLevel { alpha_cumprod: 0.0, ..step.from }, step.to);
    assert!(matches!(prediction.with_eps(b, &x, &pure), Err(ProcessError::NoSignal)));
}

#[test]
fn a_last_step_has_a_finite_log_variance() {
    let x = Tensor::randn([1, 1, 2, 2], F64);
    let prediction = Prediction::from_x0(x.zeros_like(), &x, &step(0.9, 1.0)).unwrap();
    assert!((prediction.log_variance.double_value(&[]) - 1e-20f64.ln()).abs() < 1e-9);
}

/// A network that outputs 0.4 as the mean of its own step, at a level of a process.
fn check_own_step(process: &Process, level: NoiseLevel, own: SolverStep) {
    let network = FnNetwork::new(|x, _, _| Ok(x.full_like(0.4)));
    let denoiser = NetworkDenoiser::new(process, &network, Conditioning::none());
    let x = Tensor::full([1, 1, 1, 1], -0.7, F64);
    // Wherever the solver goes, the network's mean is that of its own step.
    for to in [own.to, NoiseLevel::NOISELESS] {
        let prediction = denoiser.denoise(&x, &SolverStep::new(level, to)).unwrap();
        let (of_x0, of_x) = own.posterior_mean_coefs();
        let expected = (0.4 + 0.7 * of_x) / of_x0;
        let ours = prediction.x0.double_value(&[0, 0, 0, 0]);
        assert!((ours - expected).abs() < 1e-9 * expected.abs(), "{level:?}: {ours} {expected}");
        assert_eq!(prediction.mean.is_some(), to == own.to);
    }
}

/// Between two timesteps β lies between theirs, and the step ends at the lower one.
#[test]
fn a_posterior_mean_is_that_of_the_networks_own_step() {
    let full = typed(PredictionType::PosteriorMean, Variance::FixedSmall);
    let respaced = full.respaced(&TimestepSpacing::Explicit(vec![9, 30, 70])).unwrap();
    for process in [&full, &respaced] {
        let (schedule, map) = (process.schedule(), process.timestep_map());
        let level = |index: usize| NoiseLevel {
            alpha_cumprod: schedule.alphas_cumprod()[index],
            timestep: map[index] as f64,
        };
        let betas = schedule.betas();
        for high in [1, 2] {
            let own = SolverStep::with_beta(level(high), level(high - 1), betas[high]);
            check_own_step(process, level(high), own);
            for part in [0.25, 0.9] {
                let (a, b) = (level(high - 1), level(high));
                let mix = |a: f64, b: f64| a + part * (b - a);
                let between = NoiseLevel {
                    alpha_cumprod: mix(a.alpha_cumprod, b.alpha_cumprod),
                    timestep: mix(a.timestep, b.timestep),
                };
                let beta = mix(betas[high - 1], betas[high]);
                check_own_step(process, between, SolverStep::with_beta(between, a, beta));
            }
        }
        // Below the first and above the last timestep the nearest step holds.
        let first = SolverStep::with_beta(level(0), NoiseLevel::NOISELESS, betas[0]);
        check_own_step(process, NoiseLevel { timestep: -0.5, ..level(0) }, first);
        let last = map.len() - 1;
        let above = NoiseLevel { timestep: map[last] as f64 + 0.5, ..level(last) };
        let own = SolverStep::with_beta(above, level(last - 1), betas[last]);
        check_own_step(process, above, own);
    }
}

#[test]
fn x_without_channels_is_refused() {
    let process = typed(PredictionType::Epsilon, Variance::FixedSmall);
    let network = FnNetwork::new(|x, _, _| Ok(x.shallow_clone()));
    let denoiser = NetworkDenoiser::new(&process, &network, Conditioning::none());
    for shape in [&[][..], &[4][..]] {
        let error = denoiser.denoise(&Tensor::zeros(shape, F64), &step(0.3, 0.6)).unwrap_err();
        assert!(error.to_string().starts_with("x has shape"), "{error}");
    }
    assert!(denoiser.denoise(&Tensor::zeros([4, 1], F64), &step(0.3, 0.6)).is_ok());
}

/// Half of x and its self-condition.
struct SelfConditioned;

impl Network for SelfConditioned {
    fn forward(
        &self,
        x: &Tensor,
        _: &Tensor,
        conditioning: &Conditioning,
    ) -> Result<Tensor, NetworkError> {
        let earlier = conditioning.self_condition.as_ref().expect("a self-condition");
        Ok(x * 0.5 + earlier)
    }

    fn device(&self) -> Device {
        Device::Cpu
    }

    fn kind(&self) -> Kind {
        Kind::Double
    }

    fn takes_self_condition(&self) -> bool {
        true
    }
}

/// A likelihood needs a function of x and the noise level.
#[test]
fn without_memory_a_prediction_does_not_depend_on_the_one_before() {
    let process = typed(PredictionType::Sample, Variance::FixedSmall);
    let schedule = process.sampling_schedule().unwrap();
    let x = Tensor::randn([2, 3, 4, 4], F64);
    let twice = |denoiser: NetworkDenoiser<'_>| {
        [0, 0].map(|at: usize| denoiser.denoise(&x, &schedule.steps()[at]).unwrap().x0)
    };
    let denoiser = || NetworkDenoiser::new(&process, &SelfConditioned, Conditioning::none());
    let [first, second] = twice(denoiser());
    assert!(largest(&(&first - &second)) > 0.1);
    let [again, same] = twice(denoiser().without_memory());
    assert!(largest(&(&first - again)) == 0.0 && largest(&(first - same)) == 0.0);
}
