//! Consistency models with timesteps, and their teachers.

use std::sync::{Arc, Mutex};

use inkdrop_nn::{
    Conditioning, FnNetwork, Mode, Network, NetworkError, Params, TrainableFnNetwork,
};
use inkdrop_process::{
    ConsistencyGrid, ConsistencyPhases, ConsistencyRange, ConsistencyTuning, DiffusionConfig,
    DiffusionProcess, LossType, ObjectiveConfig, PredictionType, Process, ProcessConfig,
    ProgressiveDistillation, SigmaProcess, Teacher, TimeInput, Variance,
};
use inkdrop_schedule::{NoiseLevel, Schedule, ScheduleConfig, SolverStep};
use inkdrop_torch::tch::{Device, Kind, Tensor};

use crate::support::{F64, config, largest};

const DENOISERS: [PredictionType; 3] =
    [PredictionType::Epsilon, PredictionType::Sample, PredictionType::Velocity];

fn teacher_config(prediction: PredictionType) -> ProcessConfig {
    ProcessConfig { prediction, ..config(TimeInput::Rescaled, ScheduleConfig::cosine(200)) }
}

/// The process of the student, with all noise levels of its teacher.
fn student_config(teacher: &ProcessConfig) -> ProcessConfig {
    let range = ConsistencyRange::of(&teacher.schedule.build().unwrap());
    ProcessConfig { consistency: Some(range), ..teacher.clone() }
}

fn process(config: &ProcessConfig) -> Process {
    Process::new(config, Device::Cpu).unwrap()
}

/// A network whose output depends on x and on the time that it receives.
fn network() -> TrainableFnNetwork<Forward> {
    let forward: Forward = |x, t, _| {
        let t = t.to_kind(Kind::Double).view([-1, 1, 1, 1]);
        Ok((x * 0.7 + t * 0.002).sin())
    };
    FnNetwork::new(forward).trainable(Params::new(Kind::Double, Device::Cpu))
}

type Forward = fn(&Tensor, &Tensor, &Conditioning) -> Result<Tensor, NetworkError>;

fn images() -> [Tensor; 2] {
    let line = Tensor::arange(3 * 2 * 16, F64).reshape([3, 2, 4, 4]);
    [(&line * 0.7).sin(), (line * 1.3 + 0.4).cos()]
}

fn numbers(x: &Tensor) -> Vec<f64> {
    Vec::try_from(x.to_kind(Kind::Double)).unwrap()
}

/// x0 and ε that a process predicts for x0 + σ·ε.
fn predict(process: &Process, x: &Tensor, sigma: f64) -> (Tensor, Tensor) {
    let step = SolverStep::new(process.schedule().level_at_sigma(sigma), NoiseLevel::NOISELESS);
    let scaled = x * step.from.signal();
    let none = Conditioning::none();
    let prediction = DiffusionProcess::predict(process, &network(), &scaled, &step, &none).unwrap();
    (prediction.x0, prediction.eps)
}

/// Between timesteps, too. At σ_min it is the identity.
#[test]
fn an_untrained_student_predicts_the_teachers_step_to_the_least_noise() {
    for prediction in DENOISERS {
        let config = teacher_config(prediction);
        let (teacher, student) = (process(&config), process(&student_config(&config)));
        let level = |index| teacher.schedule().level(index).sigma();
        let least = level(0);
        let [x, _] = images();
        for sigma in [least, level(1), 0.5 * (level(60) + level(61)), level(150), level(198)] {
            let (_, eps) = predict(&teacher, &x, sigma);
            let step = &x - eps * (sigma - least);
            let (given, _) = predict(&student, &x, sigma);
            let apart = largest(&(given - step));
            assert!(apart < 1e-9 * sigma.max(1.0), "{prediction:?} at {sigma}: {apart}");
        }
        assert!(largest(&(predict(&student, &x, least).0 - x)) < 1e-12);
    }
}

/// A network that also learned a variance, in a second half of its channels, has the same prediction.
#[test]
fn a_learned_variance_is_left_out() {
    let config = student_config(&teacher_config(PredictionType::Epsilon));
    let variance = Variance::LearnedRange;
    let student = process(&ProcessConfig { variance, ..config.clone() });
    let twice = FnNetwork::new(|x: &Tensor, t: &Tensor, given: &Conditioning| {
        let out = network().forward(x, t, given)?;
        Ok(Tensor::cat(&[&out, &(&out * 3.0)], 1))
    });
    let [x, _] = images();
    let (none, level) = (Conditioning::none(), student.schedule().level(120));
    let step = SolverStep::new(level, NoiseLevel::NOISELESS);
    let x0 = DiffusionProcess::predict(&student, &twice, &x, &step, &none).unwrap().x0;
    let same = DiffusionProcess::predict(&process(&config), &network(), &x, &step, &none).unwrap();
    assert_eq!(x0, same.x0);
}

/// The loss by hand: Heun's step of the teacher's x0, and its own step to the end of the segment from both.
#[test]
fn before_training_the_loss_compares_the_teacher_with_itself() {
    for (prediction, segments) in DENOISERS.into_iter().flat_map(|kind| [(kind, 1), (kind, 2)]) {
        let config = teacher_config(prediction);
        let (teacher, student) = (process(&config), process(&student_config(&config)));
        let grid = ConsistencyGrid { levels: 5, segments, ..ConsistencyGrid::default() };
        let loss = LossType::ConsistencyDistillation(grid);
        let objective = ObjectiveConfig { loss, ..ObjectiveConfig::default() };
        let mut objective = student.objective(&objective).unwrap();
        let own = SigmaProcess::try_from(process(&config)).unwrap();
        objective.set_teacher(Teacher::new(Box::new(network()), own)).unwrap();
        // The least noisy of four pairs of levels has the first quarter of the quantiles.
        let quantiles = [1i64 << 20, 10 << 20, 15 << 20];
        let ([x0, noise], t) = (images(), Tensor::from_slice(&quantiles));
        let none = Conditioning::none();
        let terms = objective.terms(&network(), (&x0, &t, &noise), &none, Mode::Train).unwrap();

        let range = student.config().consistency.unwrap();
        let sigmas = grid.sigmas((range.sigma_min, range.sigma_max));
        for (image, given) in numbers(&terms.loss).into_iter().enumerate() {
            let place = [3, 1, 0][image];
            let (t, r) = (sigmas[place], sigmas[place + 1]);
            // Two segments meet in the middle of the grid, which is r of the second image.
            let e = if segments == 2 && place < 2 { sigmas[2] } else { 0.0 };
            let one = |x: &Tensor| x.narrow(0, image as i64, 1);
            let x = one(&x0) + one(&noise) * t;
            let first = predict(&teacher, &x, t).1;
            let second = predict(&teacher, &(&x + &first * (r - t)), r).1;
            let next = &x + (&first + second) * (0.5 * (r - t));
            let end = |x: &Tensor, sigma: f64| {
                let x0 = x - predict(&teacher, x, sigma).1 * (sigma - range.sigma_min);
                x * (e / sigma) + x0 * (1.0 - e / sigma)
            };
            let apart = (end(&x, t) - end(&next, r)) / (1.0 - e / t);
            let expected = f64::try_from(apart.square().mean(Kind::Double)).unwrap();
            let words = format!("{prediction:?}, {segments}: {given} {expected}");
            assert!((given / expected - 1.0).abs() < 1e-6, "{words}");
        }
    }
}

/// Tuning and mid-training ask the network for timesteps of the schedule alone.
#[test]
fn noise_levels_of_training_are_those_of_the_process() {
    let config = teacher_config(PredictionType::Velocity);
    let student = process(&student_config(&config));
    let last = |schedule: &Schedule| schedule.num_timesteps() as f64 - 1.0;
    for loss in [
        LossType::ConsistencyTuning(ConsistencyTuning::default()),
        LossType::ConsistencyPhases(ConsistencyPhases { share: 1.0, ..Default::default() }),
    ] {
        let objective = ObjectiveConfig { loss, ..ObjectiveConfig::default() };
        let mut objective = student.objective(&objective).unwrap();
        if objective.needs_teacher() {
            let own = SigmaProcess::try_from(process(&config)).unwrap();
            objective.set_teacher(Teacher::new(Box::new(network()), own)).unwrap();
        }
        let times = Arc::new(Mutex::new(Vec::new()));
        let seen = times.clone();
        let recorder = FnNetwork::new(move |x: &Tensor, t: &Tensor, _: &Conditioning| {
            seen.lock().unwrap().extend(numbers(t));
            Ok(x.sin())
        });
        let recorder = recorder.trainable(Params::new(Kind::Double, Device::Cpu));
        let levels = student.training_levels() as i64;
        for t in [[0, 1, 2], [levels / 3, levels / 2, levels - 1]] {
            let ([x0, noise], t) = (images(), Tensor::from_slice(&t));
            let batch = (&x0, &t, &noise);
            let terms = objective.terms(&recorder, batch, &Conditioning::none(), Mode::Train);
            let losses = numbers(&terms.unwrap().loss);
            assert!(losses.iter().all(|loss| loss.is_finite() && *loss < 1e4), "{losses:?}");
        }
        let times = times.lock().unwrap();
        let least = times.iter().copied().fold(f64::MAX, f64::min);
        let most = times.iter().copied().fold(0.0, f64::max);
        // Rescaled to 1000; 80 is below the last level of the cosine schedule.
        let most_noisy = student.schedule().timestep_of_sigma(80.0) * 5.0;
        assert!(least >= 0.0 && most <= most_noisy + 1e-3, "{least} {most}");
        assert!(most > 0.9 * most_noisy && most_noisy < 5.0 * last(student.schedule()));
    }
}

#[test]
fn consistency_models_with_timesteps_refuse_what_they_cannot_be() {
    let config = student_config(&teacher_config(PredictionType::Epsilon));
    let student = process(&config);
    assert!(DiffusionProcess::timesteps(&student).is_none());
    let refused = |loss| {
        let config = ObjectiveConfig { loss, ..ObjectiveConfig::default() };
        student.objective(&config).unwrap_err().to_string()
    };
    assert!(refused(LossType::Mse).contains("expected a consistency loss"));
    let progressive = LossType::ProgressiveDistillation(ProgressiveDistillation::default());
    assert!(refused(progressive).contains("progressive distillation is a setting of"));

    let mean = teacher_config(PredictionType::PosteriorMean);
    let error = SigmaProcess::try_from(process(&mean)).unwrap_err().to_string();
    assert!(error.contains("need one that predicts"));
    let wrong = |sigma_min, sigma_max| {
        let consistency = Some(ConsistencyRange { sigma_min, sigma_max });
        let config = ProcessConfig { consistency, ..config.clone() };
        Process::new(&config, Device::Cpu).unwrap_err().to_string()
    };
    assert!(wrong(0.0, 80.0).contains("sigma_min 0"), "{}", wrong(0.0, 80.0));
    assert!(wrong(9.0, 8.0).contains("sigma_min 9"), "{}", wrong(9.0, 8.0));
    assert!(wrong(0.01, f64::INFINITY).contains("sigma_max inf"));

    // The range is part of the stored process.
    let text = serde_json::to_string(&DiffusionConfig::from(config.clone())).unwrap();
    let read: DiffusionConfig = serde_json::from_str(&text).unwrap();
    assert_eq!((read.consistency(), read), (config.consistency, config.into()));
    let both =
        r#"{"preconditioning": {"name": "ve"}, "consistency": {"sigma_min": 1, "sigma_max": 2}}"#;
    let error = serde_json::from_str::<DiffusionConfig>(both).unwrap_err().to_string();
    assert!(error.contains("consistency does not go with preconditioning"), "{error}");
}
