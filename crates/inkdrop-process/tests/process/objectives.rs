//! Laws of the losses.

use inkdrop_nn::FnNetwork;
use inkdrop_nn::{Conditioning, Init, Mode, Params};
use inkdrop_process::{
    ForwardNoise, LossTerms, LossType, Objective, ObjectiveConfig, PredictionType, Process,
    ProcessConfig, TimeInput, TrainingObjective, Variance, Weighting, bits_per_dim,
};
use inkdrop_schedule::ScheduleConfig;
use inkdrop_torch::tch::{Device, Kind, Tensor};

use crate::support::{F64, MEANS, Oracle, largest, typed};

fn terms(process: &Process, oracle: &Oracle, config: ObjectiveConfig) -> LossTerms {
    let _held = inkdrop_torch::DefaultGenerator::seeded(5);
    let x0 = (Tensor::randn([4, 3, 4, 4], F64) * 0.5).clamp(-1.0, 1.0);
    let noise = Tensor::randn([4, 3, 4, 4], F64);
    let t = Tensor::from_slice(&[0i64, 1, 50, 99]);
    let objective = Objective::new(process, &config).unwrap();
    objective.terms(oracle, (&x0, &t, &noise), &Conditioning::none(), Mode::Eval).unwrap()
}

fn of(loss: LossType, weighting: Weighting) -> ObjectiveConfig {
    ObjectiveConfig { loss, weighting, ..ObjectiveConfig::default() }
}

fn numbers(x: &Tensor) -> Vec<f64> {
    x.to_kind(Kind::Double).try_into().unwrap()
}

/// An error e of x0 is one of SNR·e² in ε, of (SNR + 1)·e² in v and of coef1²·e² in previous x.
#[test]
fn min_snr_weighs_the_same_error_the_same_in_every_parametrisation() {
    let weighting = Weighting::MinSnr { gamma: 5.0 };
    let losses: Vec<Vec<f64>> = MEANS
        .iter()
        .map(|&mean| {
            let process = typed(mean, Variance::FixedLarge);
            let right =
                numbers(&terms(&process, &Oracle::of(&process), of(LossType::Mse, weighting)).loss);
            assert_eq!(right.len(), 4);
            right
        })
        .collect();
    for (mean, loss) in MEANS.iter().zip(&losses) {
        let same = loss.iter().zip(&losses[0]).all(|(a, b)| (a / b - 1.0).abs() < 1e-6);
        assert!(same, "{mean:?}: {loss:?} beside {:?}", losses[0]);
    }
}

/// What a network of a type outputs or should output, from x0 and ε.
fn output(process: &Process, t: usize, x: f64, (x0, eps): (f64, f64)) -> f64 {
    let schedule = process.schedule();
    let bar = schedule.alphas_cumprod()[t];
    match process.config().prediction {
        PredictionType::Epsilon => eps,
        PredictionType::Sample => x0,
        PredictionType::Velocity => bar.sqrt() * eps - (1.0 - bar).sqrt() * x0,
        PredictionType::PosteriorMean => {
            schedule.posterior_mean_coef1()[t] * x0 + schedule.posterior_mean_coef2()[t] * x
        }
    }
}

/// Every loss of every prediction type, pixel by pixel.
#[test]
fn losses_are_means_of_their_formula() {
    type Formula = fn(f64) -> f64;
    let losses: [(LossType, Formula); 3] = [
        (LossType::Mse, |d| d * d),
        (LossType::L1, f64::abs),
        (LossType::Huber { delta: 0.2 }, |d| {
            if d.abs() < 0.2 { 0.5 * d * d } else { 0.2 * (d.abs() - 0.1) }
        }),
    ];
    let (x0, noise) =
        ([[-0.4, 0.1], [0.6, -0.9], [0.3, 0.0]], [[1.2, -0.3], [0.1, 0.8], [-1.0, 2.0]]);
    let of = |rows: &[[f64; 2]; 3]| Tensor::from_slice(rows.as_flattened()).view([3, 1, 1, 2]);
    let steps = [0usize, 40, 99];
    let t = Tensor::from_slice(&steps.map(|t| t as i64));
    let batch = (of(&x0), of(&noise));
    for mean in MEANS {
        let process = typed(mean, Variance::FixedLarge);
        let oracle = Oracle { error: 0.2, ..Oracle::of(&process) };
        for (loss, formula) in losses {
            for forward_noise in [ForwardNoise::Standard, ForwardNoise::SpritesNotebook] {
                let config = ObjectiveConfig { loss, forward_noise, ..ObjectiveConfig::default() };
                let objective = Objective::new(&process, &config).unwrap();
                let (batch, none) = ((&batch.0, &t, &batch.1), Conditioning::none());
                let terms = objective.terms(&oracle, batch, &none, Mode::Eval).unwrap();
                let ours = numbers(&terms.loss);
                assert_eq!(numbers(&terms.error.unwrap()), ours);
                assert!(terms.bound.is_none());
                for (row, &t) in steps.iter().enumerate() {
                    let bar = process.schedule().alphas_cumprod()[t];
                    let scale = match forward_noise {
                        ForwardNoise::Standard => (1.0 - bar).sqrt(),
                        ForwardNoise::SpritesNotebook => 1.0 - bar,
                    };
                    let difference = |i: usize| {
                        let (x0, eps) = (x0[row][i], noise[row][i]);
                        let x = bar.sqrt() * x0 + scale * eps;
                        let predicted =
                            oracle.x0(&Tensor::from(x), &Tensor::from(bar)).double_value(&[]);
                        let noise = (x - bar.sqrt() * predicted) / (1.0 - bar).sqrt();
                        output(&process, t, x, (predicted, noise))
                            - output(&process, t, x, (x0, eps))
                    };
                    let expected = [0, 1].map(|i| formula(difference(i))).iter().sum::<f64>() / 2.0;
                    assert!((ours[row] - expected).abs() < 1e-9, "{mean:?}, {config:?} at {t}");
                }
            }
        }
    }
}

#[test]
fn p2_divides_by_the_snr_plus_k() {
    let process = typed(PredictionType::Epsilon, Variance::FixedLarge);
    let oracle = Oracle::of(&process);
    let plain = numbers(&terms(&process, &oracle, ObjectiveConfig::default()).loss);
    let weighting = Weighting::P2 { gamma: 1.0, k: 1.0 };
    let weighted = numbers(&terms(&process, &oracle, of(LossType::Mse, weighting)).loss);
    for (row, t) in [0usize, 1, 50, 99].into_iter().enumerate() {
        let expected = plain[row] / (1.0 + process.schedule().snr()[t]);
        assert!((weighted[row] / expected - 1.0).abs() < 1e-9);
    }
}

/// Huber's loss is half the square for a wide delta, and delta times the distance for a narrow one.
#[test]
fn huber_lies_between_the_square_and_the_distance() {
    let process = typed(PredictionType::Velocity, Variance::FixedLarge);
    let oracle = Oracle::of(&process);
    let loss = |loss| numbers(&terms(&process, &oracle, of(loss, Weighting::None)).loss);
    let (square, distance) = (loss(LossType::Mse), loss(LossType::L1));
    let wide = loss(LossType::Huber { delta: 100.0 });
    let narrow = loss(LossType::Huber { delta: 1e-6 });
    for row in 0..4 {
        assert!((wide[row] / (0.5 * square[row]) - 1.0).abs() < 1e-9);
        assert!((narrow[row] / (1e-6 * distance[row]) - 1.0).abs() < 1e-4);
    }
}

#[test]
fn rescaled_losses_are_their_originals_times_the_steps() {
    let process = typed(PredictionType::Epsilon, Variance::LearnedRange);
    let oracle = Oracle::of(&process);
    let of = |loss| terms(&process, &oracle, of(loss, Weighting::None));
    let (kl, whole) = (of(LossType::Kl).loss, of(LossType::RescaledKl).loss);
    assert!(largest(&(whole / kl - 100.0)) < 1e-9);
    let (mse, hybrid) = (of(LossType::Mse), of(LossType::RescaledMse));
    let bounds = hybrid.bound.unwrap() / mse.bound.unwrap();
    assert!(largest(&(bounds - 0.1)) < 1e-12, "T/1000");
    assert!(largest(&(hybrid.error.unwrap() - mse.error.unwrap())) == 0.0);
}

/// Only the variance half feels the bound of the hybrid loss.
#[test]
fn the_bound_of_the_hybrid_loss_does_not_move_the_mean() {
    let process = typed(PredictionType::Epsilon, Variance::LearnedRange);
    // ε = a·x and v = b·x, a and b trained.
    let mut params = Params::new(Kind::Double, Device::Cpu);
    let a = params.root().weight("a", &[], Init::Constant(0.5)).unwrap();
    let b = params.root().weight("b", &[], Init::Constant(0.1)).unwrap();
    let scales = [&a, &b].map(|weight| weight.shallow_clone());
    let network =
        FnNetwork::new(move |x, _, _| Ok(Tensor::cat(&[x * &*a + 0.0 * &*b, x * &*b], 1)));
    let network = network.trainable(params);
    let x0 = Tensor::zeros([2, 1, 2, 2], F64);
    let noise = Tensor::ones([2, 1, 2, 2], F64);
    let t = Tensor::from_slice(&[10i64, 60]);
    let config = of(LossType::RescaledMse, Weighting::None);
    let objective = Objective::new(&process, &config).unwrap();
    let batch = (&x0, &t, &noise);
    let terms = objective.terms(&network, batch, &Conditioning::none(), Mode::Train).unwrap();
    let bound = terms.bound.unwrap().sum(Kind::Double);
    let gradients = Tensor::run_backward(&[bound], &scales, true, false);
    assert_eq!(f64::try_from(gradients[0].abs()).unwrap(), 0.0);
    assert!(f64::try_from(gradients[1].abs()).unwrap() > 0.0);
}

#[test]
fn numbers_that_cannot_be_are_refused() {
    let process = typed(PredictionType::Epsilon, Variance::FixedLarge);
    for config in [
        of(LossType::Huber { delta: 0.0 }, Weighting::None),
        of(LossType::Mse, Weighting::MinSnr { gamma: -1.0 }),
        of(LossType::Mse, Weighting::P2 { gamma: 1.0, k: 0.0 }),
        of(LossType::Mse, Weighting::P2 { gamma: -1.0, k: 1.0 }),
        of(LossType::Mse, Weighting::P2 { gamma: f64::NAN, k: 1.0 }),
    ] {
        let error = Objective::new(&process, &config).unwrap_err().to_string();
        assert!(error.contains("expected"), "{error}");
    }
    for loss in [LossType::Kl, LossType::RescaledKl] {
        let config = of(loss, Weighting::MinSnr { gamma: 5.0 });
        let error = Objective::new(&process, &config).unwrap_err().to_string();
        assert!(error.contains("fixed weights"), "{error}");
    }
}

#[test]
fn objectives_survive_json() {
    for config in [
        ObjectiveConfig::default(),
        of(LossType::Huber { delta: 0.5 }, Weighting::MinSnr { gamma: 5.0 }),
    ] {
        let text = serde_json::to_string(&config).unwrap();
        assert_eq!(serde_json::from_str::<ObjectiveConfig>(&text).unwrap(), config);
    }
}

#[test]
fn a_bound_of_epsilon_needs_signal_at_every_step() {
    let zero = ScheduleConfig::ZeroTerminalSnr { of: Box::new(ScheduleConfig::linear(50)) };
    for mean in MEANS {
        let (time, variance) = (TimeInput::Index, Variance::FixedSmall);
        let config = ProcessConfig {
            schedule: zero.clone(),
            time,
            prediction: mean,
            variance,
            clip: false,
            consistency: None,
        };
        let process = Process::new(&config, Device::Cpu).unwrap();
        let objective = |loss| Objective::new(&process, &of(loss, Weighting::None));
        assert!(objective(LossType::Mse).is_ok());
        assert_eq!(objective(LossType::Kl).is_err(), mean == PredictionType::Epsilon);
        let mut noise = inkdrop_torch::PerImageNoise::new(0, 0..1);
        let x0 = Tensor::zeros([1, 1, 2, 2], F64);
        let oracle = Oracle::of(&process);
        let bits = bits_per_dim(&process, &oracle, &x0, &Conditioning::none(), &mut noise);
        match mean {
            PredictionType::Epsilon => {
                assert!(bits.unwrap_err().to_string().contains("zero terminal"))
            }
            _ => assert!(f64::try_from(bits.unwrap().total).unwrap().is_finite()),
        }
    }
}
