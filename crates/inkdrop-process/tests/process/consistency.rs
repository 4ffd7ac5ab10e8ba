//! Losses of consistency models.

use inkdrop_nn::{ClassIds, Conditioning, FnNetwork, Mode, Params};
use inkdrop_process::{
    ConsistencyBatch, ConsistencyGrid, ConsistencyMetric, ConsistencyMidTraining,
    ConsistencyPhases, ConsistencyTraining, ConsistencyTuning, ConsistencyWeighting,
    ContinuousConfig, ContinuousProcess, DiffusionProcess, ForwardNoise, LossType, ObjectiveConfig,
    Preconditioning, Process, ProcessConfig, ProcessError, ProgressiveDistillation, Teacher,
    TeacherGuidance, TrajectoryMetric, TrajectoryPoints, Weighting,
};
use inkdrop_schedule::NoiseDistribution;
use inkdrop_torch::tch::{Device, Kind, Tensor};
use inkdrop_torch::{draw_dropout_key, dropout};

use crate::support::F64;

const EDM: Preconditioning = Preconditioning::Edm { sigma_data: 0.5 };

const GRID: ConsistencyGrid = ConsistencyGrid {
    levels: 18,
    segments: 1,
    rho: 7.0,
    metric: ConsistencyMetric::L2,
    weighting: ConsistencyWeighting::Uniform,
};

fn images() -> [Tensor; 2] {
    let line = Tensor::arange(3 * 2 * 16, F64).reshape([3, 2, 4, 4]);
    [(&line * 0.7).sin(), (line * 1.3 + 0.4).cos()]
}

fn numbers(x: &Tensor) -> Vec<f64> {
    Vec::try_from(x.to_kind(Kind::Double)).unwrap()
}

/// ‖ε‖ of each image.
fn norms(noise: &Tensor) -> Vec<f64> {
    numbers(&noise.square().flatten(1, -1).sum_dim_intlist(1, false, Kind::Double).sqrt())
}

type Result = std::result::Result<Tensor, ProcessError>;

/// The denoiser that leaves x as it is.
fn identity(x: &Tensor, _: &[f64]) -> Result {
    Ok(x.shallow_clone())
}

/// The identity moves by (t − r)·ε between two levels of the same noise.
#[test]
fn the_loss_of_the_identity_is_the_length_of_the_noise() {
    let [x0, noise] = images();
    let tuning = ConsistencyTuning { q: 4.0, ..ConsistencyTuning::default() };
    let sigmas = [0.05, 1.0, 60.0];
    let targets = sigmas.map(|sigma| tuning.target(sigma));
    assert_eq!(targets[0], 0.0, "1 + 8·sigmoid(−0.05) is above 4");
    let batch = ConsistencyBatch { x0: &x0, noise: &noise, sigmas: &sigmas, targets: &targets };
    let loss = tuning.loss(batch, &identity, &identity).unwrap();
    for (given, expected) in numbers(&loss).iter().zip(norms(&noise)) {
        assert!((given / expected - 1.0).abs() < 1e-12, "{given} {expected}");
    }
    let huber = ConsistencyTuning { c: 1e9, ..tuning }.loss(batch, &identity, &identity).unwrap();
    // √(d² + c²) − c is d²/(2c) for a large c.
    let gaps = sigmas.iter().zip(&targets).map(|(t, r)| t - r);
    for ((given, norm), gap) in numbers(&huber).iter().zip(norms(&noise)).zip(gaps) {
        let expected = norm * norm * gap / 2e9;
        assert!((given - expected).abs() < 1e-6, "{given} {expected}");
    }

    let (sigmas, targets) = ([2.0; 3], [1.5; 3]);
    let batch = ConsistencyBatch { sigmas: &sigmas, targets: &targets, ..batch };
    for (metric, power) in [(ConsistencyMetric::L1, 1), (ConsistencyMetric::L2, 2)] {
        let weighting = ConsistencyWeighting::Karras;
        let grid = ConsistencyGrid { metric, weighting, ..GRID };
        let loss = grid.loss(batch, 0.5, (&identity, &identity), None).unwrap();
        let means = noise.abs().pow_tensor_scalar(power).flatten(1, -1);
        let means = means.mean_dim([1i64].as_slice(), false, Kind::Double);
        let weight = 0.25 + 4.0; // σ⁻² + σ_data⁻²
        let expected = means * 0.5f64.powi(power as i32) * weight;
        assert!(loss.allclose(&expected, 1e-12, 0.0, false));
    }
}

/// If the data are one image, it is the end of every flow.
#[test]
fn the_consistency_function_of_one_image_has_no_loss_and_no_gradient() {
    let [x0, noise] = images();
    let scale = Tensor::ones([1], F64).set_requires_grad(true);
    let exact = |_: &Tensor, _: &[f64]| Ok(&x0 * &scale);
    let target = |_: &Tensor, _: &[f64]| Ok(x0.shallow_clone());
    let tuning = ConsistencyTuning::default();
    let (sigmas, targets) = ([0.1, 1.0, 10.0], [0.0, 0.9, 9.9]);
    let batch = ConsistencyBatch { x0: &x0, noise: &noise, sigmas: &sigmas, targets: &targets };
    let loss = tuning.loss(batch, &exact, &target).unwrap();
    assert!(numbers(&loss).iter().all(|loss| *loss < 1e-12));
    loss.sum(Kind::Double).backward();
    assert_eq!(scale.grad().double_value(&[0]), 0.0);

    // The teacher's flow to the image is a straight line, on which Heun's step is exact.
    let targets = [0.05, 0.9, 9.9];
    let batch = ConsistencyBatch { targets: &targets, ..batch };
    let [trained, distilled] = [None, Some(&target as inkdrop_process::Denoise)]
        .map(|teacher| GRID.loss(batch, 0.5, (&identity, &identity), teacher).unwrap());
    assert!(trained.allclose(&distilled, 1e-12, 0.0, false));
}

#[test]
fn stages_bring_the_levels_together() {
    let tuning = ConsistencyTuning { q: 2.0, k: 0.0, stage_steps: Some(100), ..Default::default() };
    let config = |tuning| ObjectiveConfig {
        loss: LossType::ConsistencyTuning(tuning),
        ..ObjectiveConfig::default()
    };
    let process = ContinuousProcess::new(&ContinuousConfig::new(EDM), Device::Cpu).unwrap();
    let [x0, noise] = images();
    let network = FnNetwork::new(|x: &Tensor, _: &Tensor, _: &Conditioning| Ok(x.sin()));
    let network = network.trainable(Params::new(Kind::Double, Device::Cpu));
    let t = Tensor::from_slice(&[1i64 << 21, 1 << 22, 1 << 23]);
    let terms = |tuning, step| {
        let mut objective = process.objective(&config(tuning)).unwrap();
        objective.start_step(step, 1000);
        let (none, batch) = (Conditioning::none(), (&x0, &t, &noise));
        numbers(&objective.terms(&network, batch, &none, Mode::Train).unwrap().loss)
    };
    let one = |stage| ConsistencyTuning { stage, stage_steps: None, ..tuning };
    for (step, stage) in [(0, 0), (99, 0), (100, 1), (350, 3)] {
        assert_eq!(terms(tuning, step), terms(one(stage), 0), "step {step}");
    }
    assert_ne!(terms(tuning, 0), terms(tuning, 100));
    assert!((one(20).target(3.0) / 3.0 - 1.0).abs() < 1e-5);
}

/// Stages go on without end; their levels stay apart.
#[test]
fn the_loss_of_late_stages_is_finite() {
    let [x0, noise] = images();
    for stage in [6, 60, u32::MAX] {
        let tuning = ConsistencyTuning { stage, ..ConsistencyTuning::default() };
        let sigmas = [0.05, 1.0, 60.0];
        let targets = sigmas.map(|sigma| tuning.target(sigma));
        let batch = ConsistencyBatch { x0: &x0, noise: &noise, sigmas: &sigmas, targets: &targets };
        let loss = tuning.loss(batch, &identity, &identity).unwrap();
        for (given, expected) in numbers(&loss).iter().zip(norms(&noise)) {
            assert!((given / expected - 1.0).abs() < 1e-8, "stage {stage}: {given} {expected}");
        }
    }
}

/// The step from t to r is the teacher's: another teacher gives another loss.
#[test]
fn distillation_follows_its_teacher() {
    let process = ContinuousProcess::new(&ContinuousConfig::new(EDM), Device::Cpu).unwrap();
    let student = FnNetwork::new(|x: &Tensor, _: &Tensor, _: &Conditioning| Ok(x.sin()));
    let student = student.trainable(Params::new(Kind::Double, Device::Cpu));
    let ([x0, noise], t) = (images(), Tensor::from_slice(&[1i64 << 21, 1 << 22, 1 << 23]));
    let of = |loss| ObjectiveConfig { loss, ..ObjectiveConfig::default() };
    let teacher = |factor: f64| {
        let network =
            FnNetwork::new(move |x: &Tensor, _: &Tensor, _: &Conditioning| Ok(x * factor));
        let network = network.trainable(Params::new(Kind::Double, Device::Cpu));
        Teacher::new(Box::new(network), process)
    };
    let terms = |factor: Option<f64>| {
        let mut objective =
            process.objective(&of(LossType::ConsistencyDistillation(GRID))).unwrap();
        assert!(objective.needs_teacher());
        if let Some(factor) = factor {
            objective.set_teacher(teacher(factor)).unwrap();
        }
        let (none, batch) = (Conditioning::none(), (&x0, &t, &noise));
        objective.terms(&student, batch, &none, Mode::Train).map(|terms| numbers(&terms.loss))
    };
    assert!(terms(None).unwrap_err().to_string().contains("needs a teacher"));
    let [one, same, other] = [0.2, 0.2, -0.2].map(|factor| terms(Some(factor)).unwrap());
    assert!(one == same && one.iter().zip(&other).all(|(one, other)| one != other));
    let tuning = LossType::ConsistencyTuning(ConsistencyTuning::default());
    let refused = process.objective(&of(tuning)).unwrap().set_teacher(teacher(0.2)).unwrap_err();
    assert!(refused.to_string().contains("leave it out"), "{refused}");
}

/// Data from N(0, s²): D(x; σ) = x·s²/(s² + σ²), and the flow scales x by √(s² + σ²).
#[test]
fn the_end_of_a_trajectory_converges_with_the_second_order() {
    let variance = 0.49;
    let denoiser = |x: &Tensor, sigmas: &[f64]| -> Result {
        Ok(x * (variance / (variance + sigmas[0] * sigmas[0])))
    };
    let range = (0.05, 8.0);
    let [x, _] = images();
    let exact = &x * ((variance + range.0 * range.0) / (variance + range.1 * range.1)).sqrt();
    let error = |steps: usize| {
        let mid_training = ConsistencyMidTraining { steps, ..ConsistencyMidTraining::default() };
        let sigmas = mid_training.sigmas(range);
        assert_eq!((sigmas.len(), sigmas[0], sigmas[steps]), (steps + 1, range.1, range.0));
        let (states, end) = mid_training.trajectory(&denoiser, x.shallow_clone(), range).unwrap();
        assert_eq!(states.len(), steps);
        assert_eq!(states[0], x);
        f64::try_from((end - &exact).abs().max()).unwrap()
    };
    // The first and the last steps are of lower order, which limits the whole to the second.
    let [coarse, middle, fine] = [32, 64, 128].map(error);
    for ratio in [coarse / middle, middle / fine] {
        assert!(ratio > 3.6, "{coarse} {middle} {fine}");
    }
    assert!(fine < 1e-3 * error(2), "{fine}");
}

/// A student that predicts the teacher's end loses nothing; its conditions are those of its image.
#[test]
fn mid_training_compares_every_point_with_the_end_of_its_image() {
    let process = ContinuousProcess::new(&ContinuousConfig::new(EDM), Device::Cpu).unwrap();
    let metric = TrajectoryMetric::SquaredNorm;
    let mid_training = ConsistencyMidTraining { steps: 4, metric, ..Default::default() };
    let loss = LossType::ConsistencyMidTraining(mid_training);
    let network = || {
        let network = FnNetwork::new(|x: &Tensor, _: &Tensor, given: &Conditioning| {
            let rows = given.context.as_ref().expect("a context").view([-1, 1, 1, 1]);
            assert_eq!(rows.size()[0], x.size()[0]);
            Ok((x * 0.3).tanh() + rows)
        });
        network.trainable(Params::new(Kind::Double, Device::Cpu))
    };
    let ([x0, noise], t) = (images(), Tensor::from_slice(&[5i64, 6, 7]));
    let context = Tensor::from_slice(&[0.1, -0.4, 0.7]).view([3, 1]);
    let config = ObjectiveConfig { loss, ..ObjectiveConfig::default() };
    let mut objective = process.objective(&config).unwrap();
    objective.set_teacher(Teacher::new(Box::new(network()), process)).unwrap();
    let conditioning = Conditioning::context(context.shallow_clone());
    let given = objective.terms(&network(), (&x0, &t, &noise), &conditioning, Mode::Train).unwrap();

    let sigmas = mid_training.sigmas(process.config().sigma_range());
    let student = network();
    let denoise = |x: &Tensor, sigmas: &[f64]| {
        let conditioning = Conditioning::context(context.shallow_clone());
        process.denoise_trained(&student, x, sigmas, &conditioning, Mode::Eval)
    };
    let x = &x0 + &noise * sigmas[0];
    let range = process.config().sigma_range();
    let (states, end) = mid_training.trajectory(&denoise, x, range).unwrap();
    let losses = |(state, &sigma): (&Tensor, &f64)| {
        numbers(&mid_training.loss(&denoise(state, &[sigma; 3]).unwrap(), &end).unwrap())
    };
    let losses: Vec<Vec<f64>> = states.iter().zip(&sigmas).map(losses).collect();
    for (image, given) in numbers(&given.loss).into_iter().enumerate() {
        let expected = losses.iter().map(|losses| losses[image] / 4.0).sum::<f64>();
        assert!((given / expected - 1.0).abs() < 1e-12, "{given} {expected}");
    }

    // The quantiles choose one point each; the least noisy point has the first ones.
    let loss = LossType::ConsistencyMidTraining(ConsistencyMidTraining {
        points: TrajectoryPoints::One,
        ..mid_training
    });
    let mut objective = process.objective(&ObjectiveConfig { loss, ..config }).unwrap();
    objective.set_teacher(Teacher::new(Box::new(network()), process)).unwrap();
    let t = Tensor::from_slice(&[5i64, 1 << 23, (1 << 24) - 1]);
    let given = objective.terms(&network(), (&x0, &t, &noise), &conditioning, Mode::Train).unwrap();
    for (image, given) in numbers(&given.loss).into_iter().enumerate() {
        let expected = losses[[3, 1, 0][image]][image];
        assert!((given / expected - 1.0).abs() < 1e-12, "{image}: {given} {expected}");
    }
}

/// The first steps have the loss of mid-training, the others that of tuning from its first stage on.
#[test]
fn phases_are_mid_training_and_then_tuning() {
    let process = ContinuousProcess::new(&ContinuousConfig::new(EDM), Device::Cpu).unwrap();
    let network = || {
        let network = FnNetwork::new(|x: &Tensor, _: &Tensor, _: &Conditioning| Ok(x.sin()));
        network.trainable(Params::new(Kind::Double, Device::Cpu))
    };
    let tuning = ConsistencyTuning { q: 2.0, stage_steps: Some(30), ..Default::default() };
    let phases = ConsistencyPhases { share: 0.25, tuning, ..Default::default() };
    let ([x0, noise], t) = (images(), Tensor::from_slice(&[1i64 << 21, 1 << 22, 1 << 23]));
    let terms = |loss, step| {
        let config = ObjectiveConfig { loss, ..ObjectiveConfig::default() };
        let mut objective = process.objective(&config).unwrap();
        if objective.needs_teacher() {
            objective.set_teacher(Teacher::new(Box::new(network()), process)).unwrap();
        }
        objective.start_step(step, 200);
        let (none, batch) = (Conditioning::none(), (&x0, &t, &noise));
        numbers(&objective.terms(&network(), batch, &none, Mode::Train).unwrap().loss)
    };
    let mid_training = LossType::ConsistencyMidTraining(phases.mid_training);
    for (step, loss, same_step) in [
        (0, mid_training, 0),
        (49, mid_training, 0),
        (50, LossType::ConsistencyTuning(tuning), 0),
        (79, LossType::ConsistencyTuning(tuning), 29),
        (80, LossType::ConsistencyTuning(tuning), 30),
        (199, LossType::ConsistencyTuning(tuning), 149),
    ] {
        let both = terms(LossType::ConsistencyPhases(phases), step);
        assert_eq!(both, terms(loss, same_step), "step {step}");
    }
}

/// The flow of N(0, s²) scales x by √(s² + σ²); DDIM multiplies by (s² + σ·σ')/(s² + σ²) at each step.
#[test]
fn one_step_of_a_progressive_student_is_two_of_its_teacher() {
    let variance: f64 = 0.49;
    let progressive = ProgressiveDistillation { steps: 4, rho: 7.0 };
    let factor = |from: f64, to: f64| (variance + from * to) / (variance + from * from);
    let denoiser = |x: &Tensor, sigmas: &[f64]| -> Result {
        // x is √ᾱ·(x0 + σ·ε), where √ᾱ = 1/√(1 + σ²).
        let scales: Vec<f64> = sigmas
            .iter()
            .map(|s| match s.is_infinite() {
                true => 0.0,
                false => variance * (1.0 + s * s).sqrt() / (variance + s * s),
            })
            .collect();
        Ok(x * Tensor::from_slice(&scales).view([-1, 1, 1, 1]))
    };
    for range in [(0.002, 80.0), (1e-3, f64::INFINITY)] {
        let sigmas = progressive.sigmas(range);
        let teacher = ProgressiveDistillation { steps: 8, ..progressive }.sigmas(range);
        assert_eq!((sigmas.len(), sigmas[0], sigmas[4]), (5, range.1.min(sigmas[0]), 0.0));
        for (n, sigma) in sigmas.iter().enumerate().skip(1) {
            assert!((sigma - teacher[2 * n]).abs() <= 1e-12 * sigma, "{sigmas:?} {teacher:?}");
        }
        // The last three steps of the student, at finite noise levels.
        let steps: Vec<(f64, f64)> = (1..4).map(|n| (sigmas[n], sigmas[n + 1])).collect();
        let [x, _] = images();
        let student = |x: &Tensor, sigmas: &[f64]| -> Result {
            // The x0 whose step leads where both steps of the teacher lead, in units of x0 + σ·ε.
            let x0: Vec<f64> = (1..4)
                .map(|n| {
                    let (t, m, r) = (sigmas[n - 1], teacher[2 * n + 1], teacher[2 * n + 2]);
                    let end = factor(t, m) * factor(m, r);
                    (end - r / t) / (1.0 - r / t) * (1.0 + t * t).sqrt()
                })
                .collect();
            Ok(x * Tensor::from_slice(&x0).view([-1, 1, 1, 1]))
        };
        let loss = |student: inkdrop_process::DenoiseScaled<'_>| {
            let loss = progressive.loss(&x, &steps, range, &[2.0; 3], (student, &denoiser));
            numbers(&loss.unwrap())
        };
        assert!(loss(&student).iter().all(|loss| *loss < 1e-20), "{:?}", loss(&student));
        let off = |x: &Tensor, sigmas: &[f64]| -> Result { Ok(student(x, sigmas)? + 0.5) };
        for loss in loss(&off) {
            assert!((loss - 2.0 * 0.25).abs() < 1e-9, "{loss}");
        }
    }
    // From pure noise, one step of a flow leads to the mean of the data.
    let progressive = ProgressiveDistillation { steps: 1, ..progressive };
    let range = (1e-3, f64::INFINITY);
    let (sigmas, [x, _]) = (progressive.sigmas(range), images());
    let step = [(sigmas[0], sigmas[1]); 3];
    let mean = |x: &Tensor, _: &[f64]| -> Result { Ok(x.zeros_like() + 0.3) };
    let loss = progressive.loss(&x, &step, range, &[1.0; 3], (&mean, &mean)).unwrap();
    assert!(numbers(&loss).iter().all(|loss| *loss < 1e-24), "{loss:?}");
}

/// A guided teacher is D_uncond + scale·(D_cond − D_uncond).
#[test]
fn the_guidance_of_a_teacher_is_part_of_what_the_student_learns() {
    let process = ContinuousProcess::new(&ContinuousConfig::new(EDM), Device::Cpu).unwrap();
    // The output grows with the context, and with the class.
    let network = |slope: f64| {
        let network = FnNetwork::new(move |x: &Tensor, _: &Tensor, given: &Conditioning| {
            let rows = match (&given.context, &given.classes) {
                (Some(rows), _) => rows.view([-1, 1, 1, 1]),
                (None, Some(ids)) => ids.tensor().to_kind(Kind::Double).view([-1, 1, 1, 1]),
                (None, None) => Tensor::zeros([1], F64),
            };
            Ok(x * 0.3 + rows * slope)
        });
        network.trainable(Params::new(Kind::Double, Device::Cpu))
    };
    let loss = LossType::ProgressiveDistillation(ProgressiveDistillation::default());
    let config = ObjectiveConfig { loss, ..ObjectiveConfig::default() };
    let ([x0, noise], t) = (images(), Tensor::from_slice(&[1i64 << 20, 1 << 22, 1 << 23]));
    let terms = |slope: f64, guidance: Option<TeacherGuidance>, conditioning: &Conditioning| {
        let teacher = Teacher::new(Box::new(network(slope)), process);
        let teacher = match guidance {
            Some(guidance) => teacher.guided(guidance),
            None => teacher,
        };
        let mut objective = process.objective(&config).unwrap();
        objective.set_teacher(teacher).unwrap();
        let batch = (&x0, &t, &noise);
        let terms = objective.terms(&network(0.2), batch, conditioning, Mode::Train);
        terms.map(|terms| numbers(&terms.loss))
    };
    let guidance = |null_class| Some(TeacherGuidance { scale: 3.0, null_class });
    let context = Conditioning::context(Tensor::from_slice(&[0.1, -0.4, 0.7]).view([3, 1]));
    let classes = || Conditioning::classes(ClassIds::new(&[1, 2, 3], Device::Cpu).unwrap());
    // Without a condition the output does not depend on the slope: 3 times the slope is a scale of 3.
    for (conditioning, null) in [(&context, None), (&classes(), Some(0))] {
        let [tripled, guided] = [
            terms(0.6, None, conditioning).unwrap(),
            terms(0.2, guidance(null), conditioning).unwrap(),
        ];
        assert_ne!(guided, terms(0.2, None, conditioning).unwrap());
        for (guided, expected) in guided.iter().zip(tripled) {
            assert!((guided / expected - 1.0).abs() < 1e-9, "{guided} {expected}");
        }
    }
    let error = terms(0.2, guidance(None), &classes()).unwrap_err().to_string();
    assert!(error.contains("no null class"), "{error}");
}

/// At r ≈ t the difference of student and target vanishes only if both drop the same values.
#[test]
fn student_and_target_have_the_same_dropout_masks() {
    let process = ContinuousProcess::new(&ContinuousConfig::new(EDM), Device::Cpu).unwrap();
    let network = FnNetwork::new(|x: &Tensor, _: &Tensor, _: &Conditioning| {
        Ok(dropout(x, 0.5, draw_dropout_key()?, 0)?)
    });
    let network = network.trainable(Params::new(Kind::Double, Device::Cpu));
    let tuning = ConsistencyTuning { q: 1e9, k: 0.0, ..ConsistencyTuning::default() };
    let config = ObjectiveConfig {
        loss: LossType::ConsistencyTuning(tuning),
        noise_distribution: Some(NoiseDistribution::LogNormal { mean: 0.0, std: 0.1 }),
        ..ObjectiveConfig::default()
    };
    let objective = process.objective(&config).unwrap();
    let ([x0, noise], t) = (images(), Tensor::from_slice(&[1i64 << 23; 3]));
    let (none, batch) = (Conditioning::none(), (&x0, &t, &noise));
    let loss = numbers(&objective.terms(&network, batch, &none, Mode::Train).unwrap().loss);
    // The loss is divided by t − r, 1e-6 of t: other masks would give a million.
    assert!(loss.iter().all(|loss| *loss < 100.0), "{loss:?}");
}

#[test]
fn levels_of_consistency_training_grow_from_the_first_to_the_last_number() {
    let training = ConsistencyTraining { first_levels: 10, last_levels: 40, ..Default::default() };
    assert_eq!((training.levels(0, 500), training.levels(500, 500)), (10, 41));
    let all: Vec<usize> = (0..=500).map(|step| training.levels(step, 500)).collect();
    assert!(all.is_sorted());
    let sigmas = training.grid(5).sigmas((0.002, 80.0));
    assert!((sigmas[0] - 80.0).abs() < 1e-9 && (sigmas[4] - 0.002).abs() < 1e-12);
}

#[test]
fn consistency_losses_that_cannot_be_say_why() {
    let continuous = ContinuousProcess::new(&ContinuousConfig::new(EDM), Device::Cpu).unwrap();
    let tuning = |tuning| LossType::ConsistencyTuning(tuning);
    let training = |training| LossType::ConsistencyTraining(training);
    let progressive = |progressive| LossType::ProgressiveDistillation(progressive);
    let distillation = |levels, segments| {
        LossType::ConsistencyDistillation(ConsistencyGrid { levels, segments, ..GRID })
    };
    let middle = |steps| {
        LossType::ConsistencyMidTraining(ConsistencyMidTraining { steps, ..Default::default() })
    };
    let (usual, grid) = (ConsistencyTuning::default(), ConsistencyTraining::default());
    let of = |loss| ObjectiveConfig { loss, ..ObjectiveConfig::default() };
    let wrong = [
        (
            of(tuning(ConsistencyTuning { q: 1.0, ..usual })),
            "q 1: expected a finite number above 1",
        ),
        (of(tuning(ConsistencyTuning { c: f64::NAN, ..usual })), "c NaN"),
        (of(tuning(ConsistencyTuning { stage_steps: Some(0), ..usual })), "stage_steps 0"),
        (of(training(ConsistencyTraining { first_levels: 1, ..grid })), "first_levels 1"),
        (of(training(ConsistencyTraining { last_levels: 1, ..grid })), "last_levels 1"),
        (of(training(ConsistencyTraining { rho: 0.0, ..grid })), "rho 0"),
        (of(training(ConsistencyTraining { last_levels: 1 << 17, ..grid })), "last_levels 131072"),
        (of(progressive(ProgressiveDistillation { steps: 0, rho: 7.0 })), "steps 0"),
        (of(progressive(ProgressiveDistillation { steps: 1 << 40, rho: 7.0 })), "1 to 65535"),
        (of(middle(0)), "steps 0"),
        (of(middle(usize::MAX)), "1 to 65535"),
        (of(distillation(1, 1)), "levels 1: expected 2 to 65536"),
        (of(distillation(usize::MAX, 1)), "expected 2 to 65536"),
        (of(distillation(17, 0)), "segments 0: expected a divisor of levels − 1"),
        (of(distillation(17, 3)), "segments 3"),
        (of(distillation(17, 17)), "segments 17"),
        (of(progressive(ProgressiveDistillation { steps: 4, rho: f64::NAN })), "rho NaN"),
        (
            ObjectiveConfig { weighting: Weighting::MinSnr { gamma: 5.0 }, ..of(tuning(usual)) },
            "weighting and forward_noise",
        ),
        (
            ObjectiveConfig { forward_noise: ForwardNoise::SpritesNotebook, ..of(tuning(usual)) },
            "weighting and forward_noise",
        ),
        (
            ObjectiveConfig {
                noise_distribution: Some(NoiseDistribution::LogNormal { mean: 0.0, std: 1.0 }),
                ..of(training(grid))
            },
            "noise_distribution",
        ),
    ];
    for (config, expected) in wrong {
        let error = continuous.objective(&config).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    let preconditioning =
        Preconditioning::Consistency { sigma_data: 0.5, sigma_min: 0.004, time_scale: 1.0 };
    let with = |sigma_min| {
        let config = ContinuousConfig { sigma_min, ..ContinuousConfig::new(preconditioning) };
        let process = ContinuousProcess::new(&config, Device::Cpu).unwrap();
        process.objective(&of(tuning(usual))).map(drop)
    };
    with(Some(0.004)).unwrap();
    with(None).unwrap();
    let error = with(Some(0.01)).unwrap_err().to_string();
    assert!(error.contains("sigma_min 0.01"), "{error}");
    let discrete = Process::new(&ProcessConfig::sprites(), Device::Cpu).unwrap();
    let error = DiffusionProcess::objective(&discrete, &of(tuning(usual))).unwrap_err();
    assert!(error.to_string().contains("distillation or MeanFlow is a setting of"), "{error}");
}
