//! The loss of MeanFlow.

use inkdrop_nn::{Conditioning, FnNetwork, Mode, Network, Params};
use inkdrop_process::{
    ContinuousConfig, ContinuousProcess, DiffusionProcess, LossType, MeanFlow, MeanFlowBatch,
    ObjectiveConfig, Preconditioning, ProcessError, Teacher,
};
use inkdrop_schedule::{FlowPath, LevelSpacing};
use inkdrop_torch::tch::{Device, Kind, Tensor};

use crate::support::F64;

const MEAN_FLOW: Preconditioning = Preconditioning::MeanFlow { time_scale: 1.0 };

fn images() -> [Tensor; 2] {
    let line = Tensor::arange(3 * 2 * 16, F64).reshape([3, 2, 4, 4]);
    [(&line * 0.7).sin(), (line * 1.3 + 0.4).cos()]
}

fn numbers(x: &Tensor) -> Vec<f64> {
    Vec::try_from(x.to_kind(Kind::Double).flatten(0, -1)).unwrap()
}

fn rows(values: &Tensor) -> Tensor {
    values.to_kind(Kind::Double).view([-1, 1, 1, 1])
}

/// A function of z, t and h that is not linear in any of them.
fn velocity(z: &Tensor, t: &Tensor, h: &Tensor) -> Tensor {
    let (t, h) = (rows(t), rows(h));
    ((z * 0.8 + &t * 1.1).sin() * (&h + 0.5)).exp() + z * t.square() * h
}

#[test]
fn the_derivative_is_that_of_finite_differences() {
    let ([z, v], times, ends) = (images(), [0.9, 0.5, 0.3], [0.1, 0.5, 0.2]);
    let batch = MeanFlowBatch { z: &z, velocity: &v, times: &times, ends: &ends };
    let network = |z: &Tensor, t: &Tensor, h: &Tensor| Ok::<_, ProcessError>(velocity(z, t, h));
    let mean_flow = MeanFlow { norm_p: 0.0, ..MeanFlow::default() };
    let terms = mean_flow.terms(batch, &network).unwrap();
    let lengths = Tensor::from_slice(&times) - Tensor::from_slice(&ends);
    let at = |step: f64| {
        let t = Tensor::from_slice(&times) + step;
        velocity(&(&z + &v * step), &t, &(&lengths + step))
    };
    let step = 1e-4;
    let expected = (at(step) - at(-step)) / (2.0 * step);
    let error = f64::try_from((&terms.derivative - expected).abs().max()).unwrap();
    assert!(error < 1e-6, "{error}");
    // eq. 6 in squares, without a weight.
    let target = &v - rows(&lengths) * &terms.derivative;
    let squares = (at(0.0) - target).square().flatten(1, -1);
    let squares = squares.sum_dim_intlist(1, false, Kind::Double);
    assert!(terms.loss.allclose(&squares, 1e-12, 0.0, false));
    let weighted = MeanFlow { norm_p: 1.0, norm_eps: 1e-3, ..mean_flow };
    let loss = weighted.terms(batch, &network).unwrap().loss;
    assert!(loss.allclose(&(&squares / (&squares + 1e-3)), 1e-12, 0.0, false));
}

/// If the data are one image, all velocities of the path to it are (z − x0)/t, and so are the mean ones.
#[test]
fn the_mean_velocity_of_one_image_has_no_loss_and_samples_it_in_one_step() {
    let [x0, noise] = images();
    let (times, ends) = ([0.9, 0.5, 0.3], [0.0, 0.5, 0.2]);
    let t = rows(&Tensor::from_slice(&times));
    let (z, v) = (&x0 + (&noise - &x0) * &t, &noise - &x0);
    let exact = |z: &Tensor, t: &Tensor, _: &Tensor| Ok::<_, ProcessError>((z - &x0) / rows(t));
    let batch = MeanFlowBatch { z: &z, velocity: &v, times: &times, ends: &ends };
    let terms = MeanFlow::default().terms(batch, &exact).unwrap();
    assert!(numbers(&terms.squared).iter().all(|squared| *squared < 1e-20), "{terms:?}");

    // The network is given the interval of the step.
    let process = ContinuousProcess::new(&ContinuousConfig::new(MEAN_FLOW), Device::Cpu).unwrap();
    let network = FnNetwork::new(|z: &Tensor, t: &Tensor, given: &Conditioning| {
        let [image, _] = images();
        let interval = given.interval.as_ref().expect("an interval");
        // Any error would be multiplied by t − h, which is the end of the step.
        let end = rows(t) - rows(interval);
        Ok((z - image) / rows(t) + end * 0.25)
    });
    let network = network.trainable(Params::new(Kind::Double, Device::Cpu));
    let network: &dyn Network = &network;
    for steps in [1, 2] {
        let spacing = LevelSpacing::Flow { steps, shift: 1.0 };
        let schedule = process.spaced(&spacing).unwrap();
        assert_eq!(schedule.len(), steps);
        let mut x = noise.shallow_clone();
        for step in schedule.steps() {
            let given = process.predict(network, &x, step, &Conditioning::none()).unwrap();
            x = &given.x0 * step.to.signal() + &given.eps * step.to.noise();
        }
        let error = f64::try_from((x - &x0).abs().max()).unwrap();
        // The first of two steps ends at t = 0.5: an error of 0.5·0.5·0.25, which the second step corrects.
        assert!(error < 1e-6, "{steps}: {error}");
    }
}

#[test]
fn a_teacher_gives_the_velocity() {
    let flow = Preconditioning::Flow { path: FlowPath::Linear, time_scale: 1.0 };
    let process = |preconditioning| {
        ContinuousProcess::new(&ContinuousConfig::new(preconditioning), Device::Cpu).unwrap()
    };
    let loss = LossType::MeanFlow(MeanFlow { norm_p: 0.0, ratio: 0.0, ..MeanFlow::default() });
    let config = ObjectiveConfig { loss, ..ObjectiveConfig::default() };
    let function = |z: &Tensor, t: &Tensor, _: &Conditioning| Ok((z + rows(t) * 2.0).sin());
    let network = || FnNetwork::new(function).trainable(Params::new(Kind::Double, Device::Cpu));
    let mut objective = process(MEAN_FLOW).objective(&config).unwrap();
    let ([x0, noise], t) = (images(), Tensor::from_slice(&[1i64 << 20, 1 << 22, 1 << 23]));
    let none = Conditioning::none();
    let terms = |objective: &dyn inkdrop_process::TrainingObjective| {
        let terms = objective.terms(&network(), (&x0, &t, &noise), &none, Mode::Train).unwrap();
        numbers(&terms.loss)
    };
    assert!(terms(objective.as_ref()).iter().all(|loss| *loss > 0.1));
    // With h = 0, the student that equals its teacher has no loss.
    objective.set_teacher(Teacher::new(Box::new(network()), process(flow))).unwrap();
    let losses = terms(objective.as_ref());
    assert!(losses.iter().all(|loss| *loss < 1e-8), "{losses:?}");
}

#[test]
fn the_share_of_intervals_is_the_ratio_and_times_are_ordered() {
    for (ratio, sorted) in [(0.25, false), (0.75, true)] {
        let mean_flow = MeanFlow { ratio, sorted, ..MeanFlow::default() };
        let places = (1..20).map(|i| f64::from(i) / 20.0);
        let all: Vec<(f64, f64)> = places
            .clone()
            .flat_map(|t| places.clone().map(move |r| [t, r]))
            .flat_map(|[t, r]| (0..20).map(move |u| [t, r, (f64::from(u) + 0.5) / 20.0]))
            .map(|quantiles| mean_flow.times(quantiles))
            .collect();
        assert!(all.iter().all(|&(t, r)| 0.0 < r && r <= t && t < 1.0));
        let apart = all.iter().filter(|(t, r)| r < t).count() as f64 / all.len() as f64;
        // Without sorting, r is above t for some, too.
        assert!(apart <= ratio && apart > 0.9 * ratio - 0.05, "{apart} of {ratio}");
    }
}

#[test]
fn settings_that_cannot_be_say_why() {
    let process = |preconditioning| {
        ContinuousProcess::new(&ContinuousConfig::new(preconditioning), Device::Cpu).unwrap()
    };
    let of = |mean_flow| ObjectiveConfig {
        loss: LossType::MeanFlow(mean_flow),
        ..ObjectiveConfig::default()
    };
    let usual = MeanFlow::default();
    for (mean_flow, expected) in [
        (MeanFlow { ratio: 1.5, ..usual }, "ratio 1.5: expected 0 to 1"),
        (MeanFlow { norm_p: -1.0, ..usual }, "norm_p -1"),
        (MeanFlow { norm_eps: 0.0, ..usual }, "norm_eps 0"),
        (MeanFlow { std_r: 0.0, ..usual }, "std"),
    ] {
        let error = process(MEAN_FLOW).objective(&of(mean_flow)).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    let error = process(Preconditioning::Ve {}).objective(&of(usual)).unwrap_err().to_string();
    assert!(error.contains("expected the preconditioning mean-flow"), "{error}");
    let plain = ObjectiveConfig::default();
    let error = process(MEAN_FLOW).objective(&plain).unwrap_err().to_string();
    assert!(error.contains("trained by the loss mean-flow alone"), "{error}");
}
